import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import test from "node:test";
import { digest } from "../build.mjs";
import { Model, ModelMissingError, OptionError, RnnicError, TruncatedError, decode, decodePart, info, plan, toRgba } from "../rnnic.js";
import { checksum } from "./checksum.mjs";

const FIXTURES = new URL("../../tests/fixtures/v1/", import.meta.url);
const LINES = readFileSync(new URL("checksums.txt", FIXTURES), "utf8").trim().split("\n").map((line) => line.split(" "));
const fixture = (name) => readFileSync(new URL(`${name}.rnnic`, FIXTURES));
const model = new Model(readFileSync(new URL("../../src/rnnic/models/default.rnnm", import.meta.url)));

test("rnnic.js is made of the sources and small", () => {
  const text = readFileSync(new URL("../rnnic.js", import.meta.url), "utf8");
  assert.ok(text.includes(`(${digest()})`), "run `npm run build`");
  assert.ok(Buffer.byteLength(text) < 40000);
});

test("what sources give is what is committed", { skip: !existsSync(new URL("../node_modules/esbuild", import.meta.url)) && "no esbuild" }, async () => {
  const { bundle } = await import("../build.mjs");
  assert.equal(await bundle(), readFileSync(new URL("../rnnic.js", import.meta.url), "utf8"));
});

test("all fixtures decode to their checksums", () => {
  assert.ok(LINES.length > 100);
  for (const [crc, name] of LINES) assert.equal(checksum(readFileSync(new URL(name, FIXTURES))), crc, name);
});

test("a file cut off anywhere is truncated", () => {
  const data = fixture("pyramid-4x16-50x23-4");
  for (let length = 0; length < data.length; length += 7) {
    assert.throws(() => decode(data.subarray(0, length), { model }), TruncatedError, `${length} bytes`);
  }
});

test("a changed byte is an error of this module, or changes nothing", () => {
  const data = fixture("raster-metadata");
  const pixels = checksum(data);
  for (let at = 0; at < data.length; at++) {
    const damaged = Uint8Array.from(data);
    damaged[at] ^= 16;
    assert.throws(() => assert.notEqual(checksum(damaged), pixels), RnnicError, `byte ${at}`);
  }
});

test("info says what a file holds", () => {
  const found = info(fixture("raster-metadata"));
  assert.deepEqual([found.method, found.width, found.height, found.channels, found.bitDepth, found.alpha], ["raster", 8, 8, 3, 8, false]);
  assert.equal(found.metadata.text.Title, "fixture");
  assert.deepEqual([info(fixture("raster-2x16-50x23-0")).parameters.lowStep], [1]);
});

test("a region is that part of the image, at any size", () => {
  const data = fixture("pyramid-rgb-50x23-4-5");
  for (const reduce of [0, 1, 3]) {
    const whole = decode(data, { model, reduce });
    const part = decode(data, { model, reduce, region: [24, 8, 20, 15] });
    const [x, y] = [24 >> reduce, 8 >> reduce];
    for (let v = 0; v < part.height; v++) {
      const from = ((y + v) * whole.width + x) * 3;
      assert.deepEqual(part.data.subarray(v * part.width * 3, (v + 1) * part.width * 3), whole.data.subarray(from, from + part.width * 3));
    }
  }
});

test("tiles are told as they come", () => {
  const told = [];
  decode(fixture("pyramid-rgb-50x23-4-5"), { model, onTile: ({ x, width, done, of }) => told.push([x, width, done, of]) });
  assert.deepEqual(told, [[0, 32, 1, 2], [32, 18, 2, 2]]);
});

test("parts make up the image, each of its payload alone", () => {
  for (const [name, reduce] of [["pyramid-rgb-50x23-4-5", 0], ["pyramid-rgb-50x23-4-5", 2], ["raster-metadata", 0]]) {
    const data = fixture(name);
    const whole = decode(data, { model, reduce });
    const { parts, ...planned } = structuredClone(plan(data, { reduce }));
    const out = new Uint8Array(whole.data.length);
    for (const part of parts) {
      const made = decodePart(planned, part, data.subarray(part.offset, part.offset + part.length), model);
      assert.deepEqual([made.width, made.height], [part.width, part.height]);
      const row = part.width * whole.channels;
      for (let y = 0; y < part.height; y++) out.set(made.data.subarray(y * row, (y + 1) * row), ((part.y + y) * whole.width + part.x) * whole.channels);
    }
    assert.deepEqual(out, whole.data);
  }
  assert.equal(plan(fixture("raster-metadata"), { reduce: 1 }).early, false);
});

test("errors of use", () => {
  const data = fixture("pyramid-rgb-50x23-4-5");
  assert.throws(() => decode(data, { model, reduce: 6 }), OptionError);
  assert.throws(() => decode(data, { model, region: [40, 0, 20, 5] }), OptionError);
  assert.throws(() => decode(data, { model: [] }), ModelMissingError);
});

test("pixels for a canvas", () => {
  assert.deepEqual([...toRgba({ data: Uint8Array.of(7, 9), channels: 1 })], [7, 7, 7, 255, 9, 9, 9, 255]);
  assert.deepEqual([...toRgba({ data: Uint16Array.of(257, 514, 65535, 128), channels: 4 })], [1, 2, 255, 0]);
});

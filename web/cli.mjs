#!/usr/bin/env node
/**
 * Decodes one file: `node cli.mjs FILE OUT.pam [--model MODEL.rnnm] [--reduce K] [--region X,Y,W,H]`, the interface that
 * `python -m rnnic.conformance` asks of a decoder. An error is one line, `rnnic: FormatError: ...`, and exit code 1.
 */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { endianness } from "node:os";
import { parseArgs } from "node:util";
import { Model, OptionError, RnnicError, decode } from "./rnnic.js";

const DEFAULTS = ["default.rnnm", "../src/rnnic/models/default.rnnm"].map((name) => new URL(name, import.meta.url));

function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { model: { type: "string" }, reduce: { type: "string" }, region: { type: "string" } },
  });
  if (positionals.length !== 2) throw new OptionError("usage: cli.mjs FILE OUT.pam [--model MODEL] [--reduce K] [--region X,Y,W,H]");
  const [file, out] = positionals;
  const model = new Model(readFileSync(values.model ?? DEFAULTS.find(existsSync)));
  const image = decode(readFileSync(file), {
    model,
    reduce: Number(values.reduce ?? 0),
    region: values.region ? values.region.split(",").map(Number) : null,
  });
  const { width, height, channels, bitDepth, data: samples } = image;
  const type = ["GRAYSCALE", "GRAYSCALE_ALPHA", "RGB", "RGB_ALPHA"][channels - 1];
  const header = `P7\nWIDTH ${width}\nHEIGHT ${height}\nDEPTH ${channels}\nMAXVAL ${2 ** bitDepth - 1}\nTUPLTYPE ${type}\nENDHDR\n`;
  const data = Buffer.from(samples.buffer, samples.byteOffset, samples.byteLength);
  if (bitDepth === 16 && endianness() === "LE") data.swap16();
  writeFileSync(out, Buffer.concat([Buffer.from(header), data]));
}

try {
  main();
} catch (error) {
  if (!(error instanceof RnnicError) && !error.code) throw error;
  console.error(`rnnic: ${error.name}: ${error.message}`);
  process.exitCode = 1;
}

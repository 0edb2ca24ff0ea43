#!/usr/bin/env node
/**
 * Decodes one file: `node cli.mjs FILE OUT.pam [--model MODEL.rnnm] [--reduce K] [--region X,Y,W,H]`, the interface that
 * `python -m rnnic.conformance` asks of a decoder. An error is one line, `rnnic: FormatError: ...`, and exit code 1.
 */

import { existsSync, readFileSync, writeFileSync } from "node:fs";
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
  writeFileSync(out, pam(image));
}

/** An image as a PAM file (Netpbm); of samples of 16 bits the higher byte comes first. */
function pam({ width, height, channels, bitDepth, data }) {
  const kind = `${channels < 3 ? "GRAYSCALE" : "RGB"}${channels % 2 ? "" : "_ALPHA"}`;
  const header = `P7\nWIDTH ${width}\nHEIGHT ${height}\nDEPTH ${channels}\nMAXVAL ${2 ** bitDepth - 1}\nTUPLTYPE ${kind}\nENDHDR\n`;
  const samples = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  return Buffer.concat([Buffer.from(header), bitDepth === 8 ? samples : Buffer.from(samples).swap16()]);
}

try {
  main();
} catch (error) {
  if (!(error instanceof RnnicError) && !error.code) throw error;
  console.error(`rnnic: ${error.name}: ${error.message}`);
  process.exitCode = 1;
}

/**
 * Prints what decoding each file of a list (one path a line on standard input) comes to: the CRC-32 of its samples, or the error's class.
 * Options are those of decode, as JSON in the first argument.
 */

import { readFileSync } from "node:fs";
import { Model, RnnicError, crc32, decode } from "../rnnic.js";

const model = new Model(readFileSync(new URL("../../src/rnnic/models/default.rnnm", import.meta.url)));
const bytesOf = ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength);
const options = JSON.parse(process.argv[2] ?? "{}");
for (const path of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  try {
    console.log(crc32(bytesOf(decode(readFileSync(path), { model, ...options }).data)).toString(16).padStart(8, "0"));
  } catch (error) {
    if (!(error instanceof RnnicError)) throw error;
    console.log(process.env.RNNIC_MESSAGES ? `${error.name}: ${error.message}` : error.name);
  }
}

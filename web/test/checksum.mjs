import { readFileSync } from "node:fs";
import { Model, crc32, decode } from "../rnnic.js";

const model = new Model(readFileSync(new URL("../../src/rnnic/models/default.rnnm", import.meta.url)));

/** CRC-32, as eight hexadecimal digits, of a file's samples. */
export function checksum(data, options = {}) {
  const { buffer, byteOffset, byteLength } = decode(data, { model, ...options }).data;
  return crc32(new Uint8Array(buffer, byteOffset, byteLength)).toString(16).padStart(8, "0");
}

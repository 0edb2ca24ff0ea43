/**
 * Prints what decoding comes to, the CRC-32 of the samples or the error's class, for every line of standard input: a path and options
 * of decode, as JSON `["path", {"reduce": 1}]`. With RNNIC_MESSAGES set, errors come with their messages.
 */

import { readFileSync } from "node:fs";
import { RnnicError } from "../rnnic.js";
import { checksum } from "./checksum.mjs";

for (const line of readFileSync(0, "utf8").split("\n").filter(Boolean)) {
  const [path, options] = JSON.parse(line);
  try {
    console.log(checksum(readFileSync(path), options));
  } catch (error) {
    if (!(error instanceof RnnicError)) throw error;
    console.log(process.env.RNNIC_MESSAGES ? `${error.name}: ${error.message}` : error.name);
  }
}

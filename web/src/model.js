/** The model file (SPEC.md 3). */

import { bytesOf, hex } from "./bytes.js";
import { sha256 } from "./checksums.js";
import { MODEL_SIGNATURE, chunksOf } from "./container.js";
import { LimitError, ModelMissingError } from "./errors.js";
import { parsePyramid } from "./pyramid-model.js";
import { parseRaster } from "./raster.js";

/** The model file's sections, with tables that are made when first needed. */
export class Model {
  constructor(data) {
    const bytes = bytesOf(data);
    if (bytes.length > 2 ** 20) throw new LimitError("a model file is at most 2^20 bytes");
    this.sections = new Map(); // by id
    this.meta = null;
    for (const { type, payload } of chunksOf(bytes, MODEL_SIGNATURE, "model file")) {
      if (type === "META") this.meta = payload.slice();
      else if (type === "DONE") break;
      else {
        const hashed = new Uint8Array(4 + payload.length);
        hashed.set(Array.from(type, (letter) => letter.charCodeAt(0)));
        hashed.set(payload, 4);
        this.sections.set(hex(sha256(hashed).subarray(0, 8)), { type, payload: payload.slice(), parsed: null });
      }
    }
  }

  /** Fetch and parse a model file. */
  static async load(url) {
    const answer = await fetch(url);
    if (!answer.ok) throw new ModelMissingError(`${url}: ${answer.status} ${answer.statusText}`);
    return new Model(await answer.arrayBuffer());
  }
}

export function sectionOf(models, header) {
  const type = header.method === "raster" ? "RAST" : "PYRA";
  for (const model of models) {
    const section = model.sections.get(header.modelId);
    if (section && section.type === type) {
      section.parsed ??= type === "RAST" ? parseRaster(section.payload) : parsePyramid(section.payload);
      return section.parsed[header.colours === 1 ? 0 : 1];
    }
  }
  throw new ModelMissingError(`the file needs the ${header.method} model ${header.modelId}, which is not at hand`);
}

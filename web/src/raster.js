/** Method raster (SPEC.md 4). */

import { clip, imul, viewOf } from "./bytes.js";
import { partOf } from "./container.js";
import { TruncatedError, need } from "./errors.js";
import { plainPixels } from "./lossless.js";

const SHORT = 11; // bits looked up at once

/** A canonical code (4.2): entries `symbol << 5 | length` by the next bits, then by length for longer codes. */
class Code {
  constructor(lengths) {
    const counts = new Int32Array(21);
    for (const length of lengths) {
      need(length >= 1 && length <= 20, "a code length of the model is not 1 ... 20");
      counts[length]++;
    }
    this.first = new Int32Array(22); // code word that begins each length, in 20 bits
    this.index = new Int32Array(22); // of its symbol, less the word
    const offsets = new Int32Array(22);
    for (let length = 1, word = 0; length <= 20; length++) {
      this.first[length] = word;
      this.index[length] = offsets[length] - (word >> (20 - length));
      word += counts[length] << (20 - length);
      offsets[length + 1] = offsets[length] + counts[length];
      this.first[length + 1] = word;
    }
    need(this.first[21] === 1 << 20, "a code of the model is not complete");
    this.symbols = new Uint16Array(lengths.length);
    lengths.forEach((length, symbol) => { this.symbols[offsets[length]++] = symbol; });
    this.short = new Int32Array(1 << SHORT);
    for (let length = 1, at = 0, index = 0; length <= SHORT; length++) {
      for (let i = 0; i < counts[length]; i++, index++) {
        for (const end = at + (1 << (SHORT - length)); at < end; at++) this.short[at] = (this.symbols[index] << 5) | length;
      }
    }
  }

  /** `symbol << 5 | length` of the code that the 20 bits begin with. */
  long(word) {
    let length = SHORT + 1;
    while (word >= this.first[length + 1]) length++;
    return (this.symbols[this.index[length] + (word >> (20 - length))] << 5) | length;
  }
}

export function parseRaster(payload) {
  const view = viewOf(payload);
  let at = 0;
  const take = (bytes) => {
    at += bytes;
    need(at <= payload.length, "section RAST ends early");
    return at - bytes;
  };
  const u16 = () => view.getUint16(take(2), true);
  const tables = (count, symbols) => Array.from({ length: count }, () => {
    const start = take((5 * symbols + 7) >> 3);
    const lengths = Array.from({ length: symbols }, (_, i) => {
      const byte = start + ((5 * i) >> 3);
      return ((((payload[byte] << 8) | payload[byte + 1]) >> (11 - ((5 * i) & 7))) & 31);
    });
    let code = null;
    return () => (code ??= new Code(lengths));
  });
  const parts = [1, 3].map((c) => {
    need(payload[take(1)] === c, "section RAST has a part of other channels than due");
    const classes = payload[take(1)];
    need(classes >= 1 && classes <= 64, "section RAST has a wrong number of classes");
    const weights = payload.slice(take(7), at);
    const edges = Array.from({ length: classes - 1 }, u16);
    need(edges.every((edge, i) => i === 0 || edges[i - 1] <= edge), "section RAST has decreasing boundaries");
    const [k4, k2, k1, kl] = [u16(), u16(), u16(), u16()];
    need(k1 >= 2 && kl >= 2 && k4 + k2 + k1 + 2 <= 65535, "section RAST has palettes of wrong sizes");
    const values = new Int16Array((4 * k4 + 2 * k2 + k1 + kl) * c);
    const strings = (4 * k4 + 2 * k2) * c;
    for (let i = 0; i < strings; i++) values[i] = view.getInt8(take(1));
    for (let i = strings; i < values.length; i++) values[i] = view.getInt16(take(2), true);
    const main = tables(classes, k4 + k2 + k1 + 2);
    const [large] = tables(1, kl);
    const literal = tables(classes, 256);
    const others = c === 3 ? tables(classes, 256) : [];
    const classOf = new Uint8Array(65536);
    for (const edge of edges) for (let i = edge; i < 65536; i++) classOf[i]++;
    const magnitudes = new Uint8Array(values.length / c);
    for (let i = 0; i < magnitudes.length; i++) {
      let sum = 0;
      for (let k = 0; k < c; k++) sum += Math.abs(values[i * c + k]);
      magnitudes[i] = Math.min(255, ((3 / c) * sum) >> 2);
    }
    return { c, weights, k4, k2, k1, values, magnitudes, classOf, main, large, literal, others };
  });
  need(at === payload.length, "section RAST goes on after its end");
  return parts;
}

/** The method's parameters (4.1). */
export function rasterParameters({ parameterBytes: bytes, bitDepth }) {
  need(bytes.length === (bitDepth === 8 ? 4 : 6), "method raster has 4 parameter bytes, 6 at 16 bits");
  const scale = bytes[2] | (bytes[3] << 8);
  need(scale >= 256 && scale <= 32768, `scale ${scale}: it must be 256 ... 32768`);
  const parameters = { errorThreshold: (bytes[0] | (bytes[1] << 8)) / 64, scale: scale / 256 };
  if (bitDepth === 8) return parameters;
  const lowStep = bytes[4] | (bytes[5] << 8);
  need(lowStep <= 256, `step ${lowStep} of low bytes: it must be 0 ... 256`);
  return { ...parameters, lowStep };
}

/** Returns a function that decodes a tile's payload to its pixels. */
export function rasterDecoder(header, part) {
  const decodeHigh = highDecoder(header, part);
  if (header.bitDepth === 8) return decodeHigh;
  const { colours, parameters: { lowStep } } = header;
  return (payload, width, height) => {
    if (lowStep === 0) return Uint16Array.from(decodeHigh(payload, width, height), (v) => 257 * v);
    const [own, rest] = partOf(payload);
    const low = plainPixels(own, width, height, colours, 8);
    const most = Math.floor(255 / lowStep);
    need(low.every((v) => v <= most), "a low byte is beyond 255");
    return Uint16Array.from(decodeHigh(rest, width, height), (v, i) => 256 * v + Math.min(low[i] * lowStep + (lowStep >> 1), 255));
  };
}

/** The samples of 8 bits, or the higher bytes of those of 16. */
function highDecoder({ colours: c, parameters }, part) {
  const scale = parameters.scale * 256;
  const { weights, k4, k2, k1, classOf, magnitudes } = part;
  const palette = part.values.map((v) => clip((imul(v, scale) + 2048) >> 12, -255, 255));
  const [w0, w1, w2, w3, w4, w5, w6] = weights;
  const [strings2, singles, large, literal] = [k4, k4 + k2, k4 + k2 + k1, k4 + k2 + k1 + 1];

  return (payload, width, height) => {
    const out = new Uint8Array(width * height * c);
    const bits = payload.length * 8;
    const data = new Uint8Array(payload.length + 16);
    data.set(payload);
    // Magnitudes of a row and the one above, with the border of 4.4.
    let above = new Uint8Array(width + 8).fill(8);
    let current = new Uint8Array(width + 8).fill(8);
    const prediction = new Int32Array(3);
    const errors = new Int32Array(3);
    let at = 0; // in bits
    const read = (code) => {
      const byte = at >> 3;
      const word = (((data[byte] << 24) | (data[byte + 1] << 16) | (data[byte + 2] << 8) | data[byte + 3]) << (at & 7)) >>> 12;
      const found = code.short[word >> (20 - SHORT)] || code.long(word);
      at += found & 31;
      return found >> 5;
    };
    for (let y = 0; y < height; y++) {
      const row = y * width * c;
      for (let x = 0; x < width;) {
        const a = w0 * current[x + 1] + w1 * current[x] + w2 * above[x + 1] + w3 * above[x + 2] + w4 * above[x + 3]
          + w5 * above[x + 4] + w6 * above[x + 5];
        const cls = classOf[a < 65535 ? a : 65535];
        const symbol = read(part.main[cls]());
        let n = 1;
        let entry; // first pixel of the entry among all pixels of the palettes
        if (symbol < strings2) {
          n = 4;
          entry = 4 * symbol;
        } else if (symbol < singles) {
          n = 2;
          entry = 4 * k4 + 2 * (symbol - k4);
        } else if (symbol < large) entry = 4 * k4 + 2 * k2 + symbol - singles;
        else if (symbol === large) entry = 4 * k4 + 2 * k2 + k1 + read(part.large());
        else entry = -1;
        need(x + n <= width, "a string reaches beyond the end of its row");
        for (let i = 0; i < n; i++, x++) {
          const p = row + x * c;
          for (let k = 0; k < c; k++) {
            const left = x > 0 ? out[p + k - c] : 0;
            const upper = y > 0 ? out[p + k - width * c] : 0;
            prediction[k] = x > 0 && y > 0 ? (left + upper + 1) >> 1 : x > 0 ? left : y > 0 ? upper : 128;
          }
          if (entry >= 0) {
            for (let k = 0; k < c; k++) {
              const v = prediction[k] + palette[(entry + i) * c + k];
              out[p + k] = v < 0 ? 0 : v > 255 ? 255 : v;
            }
            current[x + 2] = magnitudes[entry + i];
          } else {
            const g = c >> 1;
            errors[g] = read(part.literal[cls]());
            if (c === 3) {
              errors[0] = read(part.others[cls]()) + errors[1];
              errors[2] = read(part.others[cls]()) + errors[1];
            }
            let sum = 0;
            for (let k = 0; k < c; k++) {
              const e = errors[k] & 255;
              out[p + k] = prediction[k] + e;
              sum += e > 127 ? 256 - e : e;
            }
            current[x + 2] = Math.min(255, Math.floor(((3 / c) * sum * 1024) / scale));
          }
        }
      }
      need(at <= bits, "a tile's data ends early", TruncatedError);
      [above, current] = [current, above];
      current.fill(8, 0, 2);
    }
    need(at > bits - 8, "bytes follow a tile's last pixel");
    return out;
  };
}

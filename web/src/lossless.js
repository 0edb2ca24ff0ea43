/** Pixels without loss (SPEC.md 6), and means of blocks. */

import { TruncatedError, need } from "./errors.js";
import { inflate } from "./inflate.js";

/** An array of samples of 8 or 16 bits. */
export const samplesOf = (bitDepth, length) => (bitDepth === 8 ? new Uint8Array(length) : new Uint16Array(length));

/** Samples of 16 bits of bytes, the higher one first; of 8 bits, the bytes. */
function joined(bytes, bitDepth) {
  if (bitDepth === 8) return bytes;
  return Uint16Array.from({ length: bytes.length >> 1 }, (_, i) => (bytes[2 * i] << 8) | bytes[2 * i + 1]);
}

/** A tile's alpha (2.3). */
export function alphaOf(data, width, height, bitDepth) {
  if (8 * data.length === bitDepth) return samplesOf(bitDepth, width * height).fill(joined(data, bitDepth)[0]);
  return plainPixels(data, width, height, 1, bitDepth);
}

export function plainPixels(data, width, height, channels, bitDepth) {
  let at = 0;
  const take = (n) => {
    need(at + n <= data.length, "a tile without loss ends early", TruncatedError);
    at += n;
    return data.subarray(at - n, at);
  };
  const pixelBytes = (channels * bitDepth) >> 3;
  const [way] = take(1);
  need(way === 0 || way === 2 || (way === 1 && channels >= 3), `a tile without loss is coded in an unknown way, ${way}`);
  const count = way === 2 ? take(1)[0] + 1 : 0;
  const colours = joined(take(count * pixelBytes), bitDepth);
  const indexBits = count <= 2 ? 1 : count <= 4 ? 2 : count <= 16 ? 4 : 8;
  const size = way === 2 ? (width * indexBits + 7) >> 3 : width * pixelBytes;
  const distance = way === 2 ? 1 : pixelBytes;
  const rows = inflate(data.subarray(at), height * (size + 1));
  let from = 0;
  const out = samplesOf(bitDepth, width * height * channels);
  let above = new Uint8Array(distance + size);
  let row = new Uint8Array(distance + size);
  for (let y = 0; y < height; y++) {
    need(from < rows.length, "a tile without loss has too few rows", TruncatedError);
    const filter = rows[from++];
    need(filter <= (y > 0 ? 5 : 4), `row ${y} of a tile without loss has an unknown filter`);
    if (filter === 5) row.set(above);
    else {
      need(from + size <= rows.length, "a tile without loss has too few rows", TruncatedError);
      for (let i = distance; i < distance + size; i++) {
        const [a, b, c] = [row[i - distance], above[i], above[i - distance]];
        let guess = filter === 0 ? 0 : filter === 1 ? a : filter === 2 ? b : (a + b) >> 1;
        if (filter === 4) {
          const [pa, pb, pc] = [Math.abs(b - c), Math.abs(a - c), Math.abs(a + b - 2 * c)];
          guess = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
        }
        row[i] = rows[from++] + guess;
      }
    }
    for (let x = 0; x < width; x++) {
      const to = (y * width + x) * channels;
      if (way === 2) {
        const bit = x * indexBits;
        const index = (row[1 + (bit >> 3)] >> (8 - indexBits - (bit & 7))) & ((1 << indexBits) - 1);
        need(index < count, "a tile without loss uses a colour that it does not have");
        for (let k = 0; k < channels; k++) out[to + k] = colours[index * channels + k];
      } else {
        for (let k = 0; k < channels; k++) {
          out[to + k] = bitDepth === 8 ? row[(x + 1) * channels + k] : (row[2 * ((x + 1) * channels + k)] << 8) | row[2 * ((x + 1) * channels + k) + 1];
        }
        if (way === 1) {
          out[to] += out[to + 1];
          out[to + 2] += out[to + 1];
        }
      }
    }
    [above, row] = [row, above];
  }
  need(from === rows.length, "a tile without loss has too many rows");
  return out;
}

/** Means of blocks of 2^reduce x 2^reduce pixels. */
export function halved(pixels, width, height, channels, reduce) {
  if (reduce === 0) return pixels;
  const side = 1 << reduce;
  const w = Math.ceil(width / side);
  const h = Math.ceil(height / side);
  const out = new pixels.constructor(w * h * channels);
  for (let y = 0, at = 0; y < h; y++) {
    for (let x = 0; x < w; x++) {
      const [x1, y1] = [Math.min(width, (x + 1) * side), Math.min(height, (y + 1) * side)];
      const area = (x1 - x * side) * (y1 - y * side);
      for (let k = 0; k < channels; k++) {
        let sum = area >> 1;
        for (let v = y * side; v < y1; v++) for (let u = x * side; u < x1; u++) sum += pixels[(v * width + u) * channels + k];
        out[at++] = Math.floor(sum / area);
      }
    }
  }
  return out;
}

/** Decompression of zlib streams (RFC 1950, RFC 1951). */

import { FormatError, TruncatedError, need } from "./errors.js";

const EXTRA_ORDER = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/** A Huffman code of DEFLATE: the number of codes of each length, and the symbols in their order. */
function deflateCode(lengths, partial) {
  const counts = new Uint16Array(16);
  for (const length of lengths) counts[length]++;
  counts[0] = 0;
  let left = 1;
  const offsets = new Uint16Array(17);
  for (let length = 1; length < 16; length++) {
    left = 2 * left - counts[length];
    need(left >= 0, "compressed data holds a code with too many words");
    offsets[length + 1] = offsets[length] + counts[length];
  }
  need(left === 0 || (partial && offsets[16] <= 1), "compressed data holds an incomplete code");
  const symbols = new Uint16Array(offsets[16]);
  lengths.forEach((length, symbol) => { if (length) symbols[offsets[length]++] = symbol; });
  const direct = new Uint16Array(512); // by the next 9 bits: symbol * 16 + length
  for (let length = 1, code = 0, index = 0; length < 10; length++, code <<= 1) {
    for (let i = 0; i < counts[length]; i++, code++, index++) {
      let turned = 0;
      for (let bit = 0; bit < length; bit++) turned |= ((code >> bit) & 1) << (length - 1 - bit);
      for (let at = turned; at < 512; at += 1 << length) direct[at] = (symbols[index] << 4) | length;
    }
  }
  return { counts, symbols, direct };
}

const FIXED = [
  deflateCode(Array.from({ length: 288 }, (_, i) => (i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8)), false),
  deflateCode(new Array(32).fill(5), false),
];

/** What a zlib stream (RFC 1950) holds, which must be all of `data` and at most `limit` bytes. */
export function inflate(data, limit) {
  need(data.length >= 6, "compressed data ends early", TruncatedError);
  need((data[0] & 15) === 8 && data[0] >> 4 < 8 && ((data[0] << 8) | data[1]) % 31 === 0
    && !(data[1] & 32), "compressed data has no zlib header");
  let out = new Uint8Array(Math.min(limit, 4 * data.length + 1024));
  let size = 0;
  let at = 2;
  let hold = 0;
  let held = 0;
  const bits = (n) => {
    while (held < n) {
      need(at < data.length, "compressed data ends early", TruncatedError);
      hold |= data[at++] << held;
      held += 8;
    }
    const value = hold & ((1 << n) - 1);
    hold >>>= n;
    held -= n;
    return value;
  };
  const symbol = (code) => {
    while (held < 15 && at < data.length) {
      hold |= data[at++] << held;
      held += 8;
    }
    const short = code.direct[hold & 511];
    if (short && (short & 15) <= held) {
      hold >>>= short & 15;
      held -= short & 15;
      return short >> 4;
    }
    let word = 0;
    let first = 0;
    let index = 0;
    for (let length = 1; length < 16; length++) {
      word |= bits(1);
      const count = code.counts[length];
      if (word - count < first) return code.symbols[index + word - first];
      index += count;
      first = (first + count) << 1;
      word <<= 1;
    }
    throw new FormatError("compressed data holds an unknown code");
  };
  const room = (n) => {
    need(size + n <= limit, "compressed data holds too much");
    if (size + n <= out.length) return;
    const larger = new Uint8Array(Math.min(limit, Math.max(2 * out.length, size + n)));
    larger.set(out);
    out = larger;
  };
  for (let last = 0; !last;) {
    last = bits(1);
    const type = bits(2);
    need(type < 3, "compressed data has a block of unknown type");
    if (type === 0) {
      bits(held & 7);
      const length = bits(16);
      need((bits(16) ^ length) === 65535, "compressed data has a damaged block");
      room(length);
      for (let i = 0; i < length; i++) out[size++] = bits(8);
      continue;
    }
    let [main, distances] = FIXED;
    if (type === 2) {
      const nMain = bits(5) + 257;
      const nDistances = bits(5) + 1;
      const nExtra = bits(4) + 4;
      need(nMain <= 286 && nDistances <= 30, "compressed data has too many codes");
      const extra = new Array(19).fill(0);
      for (let i = 0; i < nExtra; i++) extra[EXTRA_ORDER[i]] = bits(3);
      const code = deflateCode(extra, false);
      const lengths = [];
      while (lengths.length < nMain + nDistances) {
        const s = symbol(code);
        if (s < 16) lengths.push(s);
        else {
          need(s > 16 || lengths.length > 0, "compressed data repeats nothing");
          const value = s === 16 ? lengths[lengths.length - 1] : 0;
          const times = s === 16 ? 3 + bits(2) : s === 17 ? 3 + bits(3) : 11 + bits(7);
          for (let i = 0; i < times; i++) lengths.push(value);
        }
      }
      need(lengths.length === nMain + nDistances && lengths[256] > 0, "compressed data has a damaged code");
      main = deflateCode(lengths.slice(0, nMain), true);
      distances = deflateCode(lengths.slice(nMain), true);
    }
    for (;;) {
      const s = symbol(main);
      if (s < 256) {
        room(1);
        out[size++] = s;
      } else if (s === 256) break;
      else {
        need(s < 286, "compressed data holds an unknown code");
        const n = s - 257;
        const length = s === 285 ? 258 : n < 8 ? n + 3 : (((n & 3) + 4) << ((n >> 2) - 1)) + 3 + bits((n >> 2) - 1);
        const d = symbol(distances);
        need(d < 30, "compressed data holds an unknown code");
        const distance = d < 4 ? d + 1 : (((d & 1) + 2) << ((d >> 1) - 1)) + 1 + bits((d >> 1) - 1);
        need(distance <= size, "compressed data refers to before its start");
        room(length);
        for (let i = 0; i < length; i++, size++) out[size] = out[size - distance];
      }
    }
  }
  bits(held & 7);
  let a = 1;
  let b = 0;
  for (let i = 0; i < size;) {
    for (const end = Math.min(size, i + 3800); i < end; i++) b += a += out[i];
    a %= 65521;
    b %= 65521;
  }
  let sum = 0;
  for (let i = 0; i < 4; i++) sum = sum * 256 + bits(8);
  need(sum === b * 65536 + a, "compressed data does not match its checksum");
  need(at - (held >> 3) === data.length, "bytes follow compressed data");
  return out.subarray(0, size);
}

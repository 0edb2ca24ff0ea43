/**
 * Decoder of the RNNIC image format, written from SPEC.md. One module without dependencies for browsers, workers and Node.
 *
 * All arithmetic is on 32-bit integers, as the format demands. Section numbers are those of SPEC.md.
 */

export const VERSION = 1;
export const MAX_REDUCE = 5;
export const DEFAULT_MAX_PIXELS = 2 ** 28;

/** Base class of what this module throws on purpose. */
export class RnnicError extends Error {
  get name() { return "RnnicError"; }
}
/** Not a valid file, or one that needs what this decoder lacks. */
export class FormatError extends RnnicError {
  get name() { return "FormatError"; }
}
/** The data ends before the file does. */
export class TruncatedError extends FormatError {
  get name() { return "TruncatedError"; }
}
/** A checksum differs: the file is damaged. */
export class ChecksumError extends FormatError {
  get name() { return "ChecksumError"; }
}
/** The model that the file was made with is not at hand. */
export class ModelMissingError extends RnnicError {
  get name() { return "ModelMissingError"; }
}
/** The data asks for more than a limit allows. */
export class LimitError extends RnnicError {
  get name() { return "LimitError"; }
}
/** An option without meaning or out of its range. */
export class OptionError extends RnnicError {
  get name() { return "OptionError"; }
}

const need = (holds, message) => { if (!holds) throw new FormatError(message); };
const imul = Math.imul;
const clip = (v, lo, hi) => (v < lo ? lo : v > hi ? hi : v);
const latin = (bytes) => String.fromCharCode(...bytes);
const bytesOf = (data) => {
  if (data instanceof Uint8Array) return data;
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return new Uint8Array(data);
};

// ---------------------------------------------------------------- checksums

const CRC = new Int32Array(4 * 256);
for (let n = 0; n < 256; n++) {
  let c = n;
  for (let k = 0; k < 8; k++) c = c & 1 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  CRC[n] = c;
}
for (let n = 256; n < 1024; n++) CRC[n] = CRC[CRC[n - 256] & 255] ^ (CRC[n - 256] >>> 8);

/** CRC-32 as in PNG and zlib, of data after that of which `before` is the CRC. */
export function crc32(data, before = 0) {
  let c = ~before;
  let i = 0;
  for (; i + 4 <= data.length; i += 4) {
    c ^= data[i] | (data[i + 1] << 8) | (data[i + 2] << 16) | (data[i + 3] << 24);
    c = CRC[768 + (c & 255)] ^ CRC[512 + ((c >>> 8) & 255)] ^ CRC[256 + ((c >>> 16) & 255)] ^ CRC[c >>> 24];
  }
  for (; i < data.length; i++) c = CRC[(c ^ data[i]) & 255] ^ (c >>> 8);
  return ~c >>> 0;
}

const SHA_WORDS = Uint32Array.from(
  ("428a2f9871374491b5c0fbcfe9b5dba53956c25b59f111f1923f82a4ab1c5ed5d807aa9812835b01243185be550c7dc372be5d7480deb1fe" +
    "9bdc06a7c19bf174e49b69c1efbe47860fc19dc6240ca1cc2de92c6f4a7484aa5cb0a9dc76f988da983e5152a831c66db00327c8bf597fc7" +
    "c6e00bf3d5a7914706ca63511429296727b70a852e1b21384d2c6dfc53380d13650a7354766a0abb81c2c92e92722c85a2bfe8a1a81a664b" +
    "c24b8b70c76c51a3d192e819d6990624f40e3585106aa07019a4c1161e376c082748774c34b0bcb5391c0cb34ed8aa4a5b9cca4f682e6ff3" +
    "748f82ee78a5636f84c878148cc7020890befffaa4506cebbef9a3f7c67178f26a09e667bb67ae853c6ef372a54ff53a510e527f9b05688c" +
    "1f83d9ab5be0cd19").match(/.{8}/g), (word) => parseInt(word, 16));

/** SHA-256, as bytes. */
function sha256(data) {
  const padded = new Uint8Array(((data.length + 72) >> 6) << 6);
  padded.set(data);
  padded[data.length] = 128;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, data.length / 2 ** 29);
  view.setUint32(padded.length - 4, data.length << 3);
  const hash = Int32Array.from(SHA_WORDS.subarray(64));
  const w = new Int32Array(64);
  const turn = (v, n) => (v >>> n) | (v << (32 - n));
  for (let block = 0; block < padded.length; block += 64) {
    for (let i = 0; i < 64; i++) {
      if (i < 16) w[i] = view.getInt32(block + 4 * i);
      else {
        const u = w[i - 15];
        const v = w[i - 2];
        w[i] = w[i - 16] + w[i - 7] + (turn(u, 7) ^ turn(u, 18) ^ (u >>> 3)) + (turn(v, 17) ^ turn(v, 19) ^ (v >>> 10));
      }
    }
    let [a, b, c, d, e, f, g, h] = hash;
    for (let i = 0; i < 64; i++) {
      const s = (h + (turn(e, 6) ^ turn(e, 11) ^ turn(e, 25)) + ((e & f) ^ (~e & g)) + SHA_WORDS[i] + w[i]) | 0;
      const t = ((turn(a, 2) ^ turn(a, 13) ^ turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + s) | 0, c, b, a, (s + t) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((v, i) => { hash[i] += v; });
  }
  const out = new DataView(new ArrayBuffer(32));
  hash.forEach((v, i) => out.setInt32(4 * i, v));
  return new Uint8Array(out.buffer);
}

const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

// ---------------------------------------------------------------- zlib

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
function inflate(data, limit) {
  need(data.length >= 6 && (data[0] & 15) === 8 && data[0] >> 4 < 8 && ((data[0] << 8) | data[1]) % 31 === 0
    && !(data[1] & 32), "compressed data has no zlib header");
  let out = new Uint8Array(Math.min(limit, 4 * data.length + 1024));
  let size = 0;
  let at = 2;
  let hold = 0;
  let held = 0;
  const bits = (n) => {
    while (held < n) {
      need(at < data.length, "compressed data ends early");
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

// ---------------------------------------------------------------- chunks (2.1)

const FILE_SIGNATURE = [0x8a, 0x52, 0x4e, 0x4e, 0x49, 0x43, 13, 10];
const MODEL_SIGNATURE = [0x8a, 0x52, 0x4e, 0x4e, 0x4d, 0x44, 13, 10];

const viewOf = (data) => new DataView(data.buffer, data.byteOffset, data.length);

/** Yields the chunks of a file up to DONE: type, payload, and where the payload starts; every CRC is checked. */
function* chunksOf(data, signature, what) {
  need(signature.every((byte, i) => i >= data.length || data[i] === byte), `this is not an RNNIC ${what}`);
  if (data.length < 8) throw new TruncatedError(`the ${what} ends in its signature`);
  const view = viewOf(data);
  for (let at = 8, type = ""; type !== "DONE";) {
    if (at + 8 > data.length) throw new TruncatedError(`the ${what} ends at byte ${data.length}, before its chunk DONE`);
    type = latin(data.subarray(at, at + 4));
    need(/^[A-Za-z0-9]{4}$/.test(type), `there is no chunk type at byte ${at}`);
    const start = at + 8;
    const end = start + view.getUint32(at + 4, true);
    if (end + 4 > data.length) throw new TruncatedError(`the ${what} ends in its chunk ${type}`);
    const payload = data.subarray(start, end);
    if (crc32(payload, crc32(data.subarray(at, at + 4))) !== view.getUint32(end, true)) {
      throw new ChecksumError(`chunk ${type} at byte ${at} does not match its checksum: the ${what} is damaged`);
    }
    yield { type, payload, start };
    at = end + 4;
  }
}

// ---------------------------------------------------------------- container (2)

const METHODS = ["raster", "pyramid"];
const MAX_SIDE = 2 ** 24;
const MAX_TILES = 2 ** 20;
const ONCE = { exif: "exif", iccp: "icc", xmp0: "xmp" };

function parseHead(payload, maxPixels) {
  need(payload.length >= 33 && payload.length === 33 + payload[32], "chunk HEAD has a wrong length");
  const view = viewOf(payload);
  const [version, code, channels, bitDepth] = payload;
  need(version <= VERSION, `the file is of version ${version}, this decoder reads up to ${VERSION}: it needs a newer one`);
  need(version > 0, "there is no version 0");
  need(code < METHODS.length, `method ${code} is unknown: it needs a newer decoder`);
  need(channels === 1 || channels === 3, `${channels} channels: it must be 1 or 3`);
  need(bitDepth === 8, `${bitDepth} bits a sample: it must be 8`);
  const [width, height, tileSize] = [4, 8, 12].map((offset) => view.getUint32(offset, true));
  need(width > 0 && height > 0 && width <= MAX_SIDE && height <= MAX_SIDE, `${width} x ${height} pixels: sides are 1 ... 2^24`);
  need(tileSize >= 16 && tileSize <= 4096, `tile size ${tileSize}: it must be 16 ... 4096`);
  if (width * height > maxPixels) {
    throw new LimitError(`${width} x ${height} pixels are more than maxPixels, ${maxPixels}; raise it if you trust the file`);
  }
  const columns = Math.ceil(width / tileSize);
  const rows = Math.ceil(height / tileSize);
  if (columns * rows > MAX_TILES) throw new LimitError(`${columns * rows} tiles are more than 2^20`);
  return {
    version, method: METHODS[code], channels, bitDepth, width, height, tileSize, columns, rows,
    modelId: hex(payload.subarray(16, 32)), parameterBytes: payload.slice(33),
  };
}

function addMetadata(metadata, type, payload) {
  if (type in ONCE) {
    need(metadata[ONCE[type]] === null, `chunk ${type} occurs twice`);
    metadata[ONCE[type]] = payload.slice();
  } else if (type === "text") {
    const zero = payload.indexOf(0);
    need(zero >= 1 && zero <= 79, "chunk text has no key of 1 to 79 bytes");
    try {
      const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
      metadata.text[utf8.decode(payload.subarray(0, zero))] = utf8.decode(payload.subarray(zero + 1));
    } catch (error) {
      throw new FormatError("chunk text is not UTF-8", { cause: error });
    }
  }
}

/** A file's header, metadata and tiles' payloads. */
function parseContainer(data, maxPixels) {
  let header = null;
  let lengths = null;
  const metadata = { exif: null, icc: null, xmp: null, text: Object.create(null) };
  const tiles = [];
  for (const { type, payload, start } of chunksOf(data, FILE_SIGNATURE, "file")) {
    if (header === null) {
      need(type === "HEAD", `the first chunk is ${type} instead of HEAD`);
      header = parseHead(payload, maxPixels);
    } else if (lengths === null && /^[a-z0-9]/.test(type)) addMetadata(metadata, type, payload);
    else if (lengths === null) {
      need(type === "TIDX", `chunk ${type} stands where TIDX is due`);
      need(payload.length === 4 * header.columns * header.rows, "chunk TIDX has a wrong length");
      const view = viewOf(payload);
      lengths = Array.from({ length: payload.length / 4 }, (_, i) => view.getUint32(4 * i, true));
      const total = lengths.reduce((sum, length) => sum + length + 12, 0);
      if (start + payload.length + 4 + total > data.length) throw new TruncatedError("the file ends in its tiles");
    } else {
      const due = tiles.length < lengths.length ? "TILE" : "DONE";
      need(type === due, `chunk ${type} stands where ${due} is due`);
      if (type === "TILE") {
        need(payload.length === lengths[tiles.length], `tile ${tiles.length} has another length than TIDX says`);
        tiles.push({ ...tileBox(header, tiles.length), offset: start, length: payload.length });
      } else need(payload.length === 0, "chunk DONE has content");
    }
  }
  need(lengths !== null, "the file has no chunk TIDX");
  return { header, metadata, tiles };
}

function tileBox({ width, height, tileSize, columns }, index) {
  const x = (index % columns) * tileSize;
  const y = Math.floor(index / columns) * tileSize;
  return { x, y, width: Math.min(tileSize, width - x), height: Math.min(tileSize, height - y) };
}

// ---------------------------------------------------------------- model file (3)

/** The model file's sections, with tables that are made when first needed. */
export class Model {
  constructor(data) {
    const bytes = bytesOf(data);
    if (bytes.length > 2 ** 20) throw new LimitError("a model file is at most 2^20 bytes");
    this.sections = new Map(); // by id
    this.meta = null;
    for (const { type, payload } of chunksOf(bytes, MODEL_SIGNATURE, "model file")) {
      if (type === "META") this.meta = payload.slice();
      else if (type !== "DONE") {
        const hashed = new Uint8Array(4 + payload.length);
        hashed.set(Array.from(type, (letter) => letter.charCodeAt(0)));
        hashed.set(payload, 4);
        this.sections.set(hex(sha256(hashed).subarray(0, 16)), { type, payload: payload.slice(), parsed: null });
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

function sectionOf(models, header) {
  const type = header.method === "raster" ? "RAST" : "PYRA";
  for (const model of models) {
    const section = model.sections.get(header.modelId);
    if (section && section.type === type) {
      section.parsed ??= type === "RAST" ? parseRaster(section.payload) : parsePyramid(section.payload);
      return section.parsed[header.channels === 1 ? 0 : 1];
    }
  }
  throw new ModelMissingError(`the file needs the ${header.method} model ${header.modelId}, which is not at hand`);
}

// ---------------------------------------------------------------- raster (4)

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

function parseRaster(payload) {
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

function rasterDecoder(header, part) {
  const { parameterBytes: bytes, channels: c } = header;
  need(bytes.length === 4, "method raster has 4 parameter bytes");
  const scale = bytes[2] | (bytes[3] << 8);
  need(scale >= 256 && scale <= 32768, `scale ${scale}: it must be 256 ... 32768`);
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
      if (at > bits) throw new TruncatedError("a tile's data ends early");
      [above, current] = [current, above];
      current.fill(8, 0, 2);
    }
    need(at > bits - 8, "bytes follow a tile's last pixel");
    return out;
  };
}

// ---------------------------------------------------------------- pyramid: model (5.2)

const LEVELS = 10;
const NEXT = {
  1: [0, 0],
  8: [0, 2, 7, 5, 1, 3, 6, 4, 2, 0, 5, 7, 3, 1, 4, 6],
  16: [0, 2, 11, 9, 1, 3, 10, 8, 2, 0, 9, 11, 3, 1, 8, 10, 4, 6, 15, 13, 5, 7, 14, 12, 6, 4, 13, 15, 7, 5, 12, 14],
};
const KINDS = [[1, Uint8Array], [2, Uint16Array], [2, Int16Array], [4, Uint32Array]];

function parsePyramid(payload) {
  need(payload.length >= 9 && latin(payload.subarray(0, 4)) === "RNPY", "section PYRA does not begin with RNPY");
  need(payload[4] === 2, `section PYRA is of version ${payload[4]}; this decoder reads version 2`);
  const length = viewOf(payload).getUint32(5, true);
  need(length <= 2 ** 24, "section PYRA is larger than 2^24 bytes");
  const body = inflate(payload.subarray(9), length);
  need(body.length === length, "section PYRA has another length than it says");
  const view = viewOf(body);
  let at = 0;
  const take = (bytes) => {
    at += bytes;
    need(at <= length, "section PYRA ends early");
    return at - bytes;
  };
  const array = (kind, sides) => {
    need(body[take(1)] === kind, "section PYRA has an array of another kind than due");
    const shape = Array.from({ length: body[take(1)] }, () => view.getUint32(take(4), true));
    need(shape.length === sides.length && shape.every((n, i) => sides[i] < 0 || n === sides[i]), "section PYRA has an array of another shape than due");
    const size = shape.reduce((product, n) => product * n, 1);
    const [bytes, Type] = KINDS[kind];
    const start = take(size * bytes);
    const values = new Type(size);
    for (let b = 0; b < bytes; b++) for (let i = 0; i < size; i++) values[i] |= body[start + b * size + i] << (8 * b);
    return { values, shape };
  };
  const bandEdges = array(3, [-1]).values;
  const bands = bandEdges.length + 1;
  const parts = [1, 3].map((channels) => {
    const lumaTaps = array(2, [bands, LEVELS, 15]).values;
    const chromaTaps = array(2, [bands, LEVELS, 2, 7]).values;
    const activity = array(1, [bands, LEVELS, 2, 12]).values;
    const edges = [array(1, [-1]).values, array(1, [-1]).values];
    checkTaps(lumaTaps, 15, "section PYRA");
    checkTaps(chromaTaps, 7, "section PYRA");
    need(activity.every((weight) => weight <= 16384), "section PYRA has a weight beyond its limit");
    for (const list of edges) need(list.length < 64 && list.every((edge, i) => edge > (i ? list[i - 1] : 0)), "section PYRA has wrong edges");
    const [ny, nc] = [edges[0].length + 1, edges[1].length + 1];
    const classOf = edges.map((list) => {
      const table = new Uint8Array(4096);
      for (const edge of list) for (let a = edge; a < 4096; a++) table[a]++;
      return table;
    });
    const quantisers = [1, 2].map((books) => {
      const orbits = array(0, [books, -1, 3]);
      const entries = orbits.shape[1];
      need(entries >= 1 && entries < 512, "section PYRA has a codebook of a wrong size");
      const first = Math.min(entries, 255);
      const magnitudes = array(2, [books, entries, 3]).values;
      need(orbits.values.every((k, i) => (k === 0) === (magnitudes[i] === 0) && magnitudes[i] >= 0 && magnitudes[i] < 2048
        && (k === 0 || i % (3 * entries) > 2)), "section PYRA has a wrong codebook");
      const common = array(1, [books, ny * nc, first + 1, bands]).values;
      const rare = array(1, [books, ny * 5 + 5, entries + 1, bands]).values;
      checkFrequencies(common, first + 1, bands);
      checkFrequencies(rare, entries + 1, bands);
      return { books, entries, first, orbits: orbits.values, magnitudes, common, rare, bands: [] };
    });
    return { channels, bandEdges, bands, lumaTaps, chromaTaps, activity, ny, nc, classOf, quantisers };
  });
  need(at === length, "section PYRA goes on after its end");
  return parts;
}

function checkTaps(taps, length, name) {
  for (let at = 0; at < taps.length; at += length) {
    let sum = 0;
    for (let i = at; i < at + length; i++) sum += Math.abs(taps[i]);
    need(sum <= 16383, `a filter of ${name} is beyond its limit`);
  }
}

function checkFrequencies(values, symbols, bands) {
  const sums = new Int32Array(bands);
  for (let at = 0; at < values.length; at += symbols * bands) {
    sums.fill(0);
    for (let i = 0; i < symbols * bands; i++) sums[i % bands] += values[at + i];
    for (let band = 0; band < bands; band++) {
      need(sums[band] === 4096 && values[at + (symbols - 1) * bands + band] > 0, "section PYRA has a table that does not sum to 4096");
    }
  }
}

/** Tables of a quantiser in one band; those of a context are made when it is first met. */
class Tables {
  constructor({ books, entries, first, orbits, magnitudes, common, rare, contexts, rareContexts, stride, band }) {
    Object.assign(this, { entries, first, common, rare, contexts, rareContexts, stride, band });
    this.symbols = new Uint8Array((books * contexts) << 12); // by context and slot
    this.ranges = new Int32Array((books * contexts) << 8); // by context and symbol: frequency << 12 | start
    this.rareStarts = new Map();
    this.shapes = new Int32Array(books << 9); // by book and entry: magnitudes | branch | number of sign bits
    this.vectors = new Int16Array(books << 14); // by book, entry and sign bits: three components and a gap
    for (let book = 0; book < books; book++) {
      for (let s = 0; s < entries; s++) {
        const k = orbits.subarray((book * entries + s) * 3, (book * entries + s + 1) * 3);
        const m = magnitudes.subarray((book * entries + s) * 3, (book * entries + s + 1) * 3);
        const signs = (k[0] > 0) + (k[1] > 0) + (k[2] > 0);
        const branch = (((k[0] + 1) >> 1) + k[1] + k[2]) & 1;
        this.shapes[(book << 9) | s] = (m[0] >> 2) | (((m[1] + m[2]) >> 2) << 10) | (branch << 22) | (signs << 24);
        for (let bits = 0; bits < 1 << signs; bits++) {
          for (let c = 0, bit = 0; c < 3; c++) {
            const negative = k[c] > 0 && (bits >> bit++) & 1;
            this.vectors[(((book << 12) | (s << 3) | bits) << 2) + c] = negative ? -m[c] : m[c];
          }
        }
      }
    }
  }

  /** Fill the table of a context of all books' common symbols. */
  fill(context) {
    const { common, stride, band, first } = this;
    let at = context << 12;
    for (let s = 0, start = 0; s <= first; s++) {
      const f = common[(context * (first + 1) + s) * stride + band];
      this.ranges[(context << 8) | s] = (f << 12) | start;
      start += f;
      for (const end = (context << 12) + start; at < end; at++) this.symbols[at] = s;
    }
  }

  /** Running sums of the frequencies of a context of the rare symbols. */
  starts(book, context) {
    const row = book * this.rareContexts + context;
    let sums = this.rareStarts.get(row);
    if (!sums) {
      sums = new Int32Array(this.entries + 2);
      for (let s = 0; s <= this.entries; s++) {
        sums[s + 1] = sums[s] + this.rare[(row * (this.entries + 1) + s) * this.stride + this.band];
      }
      this.rareStarts.set(row, sums);
    }
    return sums;
  }
}

// ---------------------------------------------------------------- pyramid: tile (5.3)

/** A stream of bits, highest first in each byte. */
class Bits {
  constructor(data) {
    this.data = data;
    this.at = 0;
  }

  bit() {
    const byte = this.at >> 3;
    need(byte < this.data.length, "a tile's base plane ends early");
    return (this.data[byte] >> (7 - (this.at++ & 7))) & 1;
  }

  bits(n) {
    let value = 0;
    while (n-- > 0) value = (value << 1) | this.bit();
    return value;
  }

  folded(n) {
    const v = this.bits(n);
    return v & 1 ? -((v + 1) >> 1) : v >> 1;
  }

  /** An adaptive number; `state` holds total and count. */
  adaptive(state) {
    let k = 0;
    while (k < 16 && state.count * 2 ** k < state.total) k++;
    let ones = 0;
    while (ones < 24 && this.bit()) ones++;
    const v = ones === 24 ? this.bits(18) : (ones << k) + this.bits(k);
    state.total += v;
    if (++state.count === 32) {
      state.total >>= 1;
      state.count = 16;
    }
    return v & 1 ? -((v + 1) >> 1) : v >> 1;
  }
}

const DEFAULT_COLOUR = [9459, 9459, 9459, 11585, 0, -11585, 6689, -13377, 6689];

/** Sides of the planes below each level, which levels have a pass, and the base plane. */
function geometry(width, height) {
  const levels = [];
  let [w, h] = [width, height];
  for (let level = 0; level < LEVELS; level++) {
    const pass = (level & 1 ? h : w) >= 2;
    levels.push({ w, h, pass });
    if (pass && level & 1) h = (h + 1) >> 1;
    else if (pass) w = (w + 1) >> 1;
  }
  return { levels, w, h };
}

/** A plane of samples with a border of two on each side. */
class Plane {
  constructor(w, h) {
    this.values = new Int16Array((w + 4) * (h + 4));
    this.resize(w, h);
  }

  resize(w, h) {
    this.w = w;
    this.h = h;
    this.stride = w + 4;
    this.start = 2 * this.stride + 2;
  }

  /** Repeat the outermost samples in the border. */
  extend() {
    const { values, w, h, stride } = this;
    for (let y = 2; y < h + 2; y++) {
      const left = y * stride + 2;
      const right = left + w - 1;
      values[left - 2] = values[left - 1] = values[left];
      values[right + 2] = values[right + 1] = values[right];
    }
    const last = (h + 1) * stride;
    for (const [from, to] of [[2 * stride, stride], [2 * stride, 0], [last, last + stride], [last, last + 2 * stride]]) {
      values.copyWithin(to, from, from + stride);
    }
  }
}

function pyramidDecoder(header, part, reduce) {
  const { parameterBytes: bytes, channels, tileSize } = header;
  need(tileSize % 32 === 0, `tile size ${tileSize}: it must be a multiple of 32`);
  need(bytes.length === 8, "method pyramid has 8 parameter bytes");
  const step = viewOf(bytes).getUint32(0, true);
  const [states, lanes] = bytes.subarray(4);
  need(step >= 256 && step <= 131072, `step ${step}: it must be 256 ... 131072`);
  need(states in NEXT, `${states} states: it must be 1, 8 or 16`);
  need(lanes === 1 || lanes === 2 || lanes === 4, `${lanes} lanes: it must be 1, 2 or 4`);
  need(bytes[6] === channels && bytes[7] === header.bitDepth, "the method's channels or bit depth are not the header's");
  const band = part.bandEdges.reduce((count, edge) => count + (edge <= step), 0);
  const quantiser = part.quantisers[states === 1 ? 0 : 1];
  quantiser.bands[band] ??= new Tables({
    ...quantiser, contexts: part.ny * part.nc, rareContexts: part.ny * 5 + 5, stride: part.bands, band,
  });
  const shared = { header, part, band, step, lanes, tables: quantiser.bands[band], next: Uint8Array.from(NEXT[states]), reduce };
  let planes = null;
  return (payload, width, height) => {
    planes ??= new Planes(Math.min(tileSize, header.width), Math.min(tileSize, header.height), channels);
    return new Tile(shared, planes, payload, width, height).decode();
  };
}

/** What the tiles of one image are decoded in, one after the other. */
class Planes {
  constructor(w, h, channels) {
    const two = () => [new Plane(w, h), new Plane(w, h)];
    this.samples = Array.from({ length: channels }, two); // parents and children
    this.energies = Array.from({ length: channels === 1 ? 1 : 2 }, two);
    const row = () => new Int32Array(Math.max(w, h) + 2); // a zero on each side
    this.d = Array.from({ length: channels }, row);
    this.r = Array.from({ length: channels }, row);
    this.sums = Array.from({ length: channels }, row);
    this.magnitudes = [[row(), row()], [row(), row()]]; // of luma and chroma, one and two rows above
    this.activity = [row(), row()];
    this.v = [row(), row(), row()];
  }
}

class Tile {
  constructor(shared, planes, payload, width, height) {
    Object.assign(this, shared, { planes, payload, width, height });
    this.channels = this.header.channels;
    this.v = new Int32Array(3);
    this.branch = 0;
  }

  decode() {
    const { payload, lanes, channels, reduce, width, height } = this;
    this.coded = payload[0] | (payload[1] << 8);
    if (this.coded === 32768) return halved(plainPixels(payload.subarray(2), width, height, channels), width, height, channels, reduce);
    let at = 2;
    const varint = () => {
      let value = 0;
      for (let i = 0; i < 5; i++) {
        need(at < payload.length, "a tile ends in its lengths");
        const byte = payload[at++];
        value += (byte & 127) * 2 ** (7 * i);
        if (byte < 128) return value;
      }
      throw new FormatError("a length in a tile has more than five bytes");
    };
    const baseLength = varint();
    const lengths = this.coded ? Array.from({ length: lanes }, varint) : [];
    need(lengths.every((length) => length >= 2), "a lane of a tile is too short");
    need(at + baseLength + 2 * lengths.reduce((a, b) => a + b, 0) === payload.length, "the lengths in a tile do not add up");
    const { levels, w, h } = geometry(width, height);
    for (let level = 0; level < 16; level++) {
      need(!((this.coded >> level) & 1) || (level < LEVELS && levels[level].pass), "a tile codes a pass that it does not have");
    }
    this.readLanes(payload.subarray(at + baseLength), lengths);
    const bits = new Bits(payload.subarray(at, at + baseLength));
    this.readOwn(bits);
    this.readBase(bits, w, h);
    for (let level = LEVELS - 1; level >= 2 * reduce; level--) if (levels[level].pass) this.pass(level, levels[level]);
    if (reduce === 0) {
      for (let lane = 0; lane < lengths.length; lane++) {
        need(this.state[lane] === 32768 && this.at[lane] === this.end[lane], "a lane of a tile does not end where it should");
      }
    }
    return this.pixels();
  }

  readLanes(data, lengths) {
    const words = new Uint16Array(data.length >> 1);
    for (let i = 0; i < words.length; i++) words[i] = data[2 * i] | (data[2 * i + 1] << 8);
    this.words = words;
    this.at = new Int32Array(4);
    this.end = new Int32Array(4);
    this.state = new Int32Array(4);
    this.trellis = new Int32Array(4);
    let at = 0;
    lengths.forEach((length, lane) => {
      const state = words[at] * 65536 + words[at + 1];
      need(state >= 2 ** 15 && state < 2 ** 31, "a lane of a tile starts in an impossible state");
      this.state[lane] = state;
      this.at[lane] = at + 2;
      at += length;
      this.end[lane] = at;
    });
  }

  /** The tile's own colours, filters and weights. */
  readOwn(bits) {
    const { part, band, coded, channels } = this;
    this.colour = DEFAULT_COLOUR;
    if (channels === 3 && bits.bit()) {
      this.colour = Array.from({ length: 9 }, () => (bits.bits(16) << 16) >> 16);
      for (let k = 0; k < 3; k++) {
        const sum = Math.abs(this.colour[k]) + Math.abs(this.colour[k + 3]) + Math.abs(this.colour[k + 6]);
        need(sum <= 32768, "a tile's colours are beyond their limit");
      }
    }
    const own = (all, length, index, factor) => {
      const values = Int32Array.from(all.subarray(index * length, (index + 1) * length));
      const state = { total: 4, count: 1 };
      if (bits.bit()) for (let i = 0; i < length; i++) values[i] += factor * bits.adaptive(state);
      return values;
    };
    this.filters = [];
    this.weights = [];
    for (let level = 0; level < LEVELS; level++) {
      const at = band * LEVELS + level;
      const read = (coded >> level) & 1 ? own : (all, length, index) => Int32Array.from(all.subarray(index * length, (index + 1) * length));
      const filters = [read(part.lumaTaps, 15, at, 16)];
      if (channels === 3) filters.push(read(part.chromaTaps, 7, 2 * at, 16), read(part.chromaTaps, 7, 2 * at + 1, 16));
      const weights = [read(part.activity, 12, 2 * at, 32)];
      if (channels === 3) weights.push(read(part.activity, 12, 2 * at + 1, 32));
      for (const taps of filters) checkTaps(taps, taps.length, "a tile");
      for (const list of weights) need(list.every((weight) => weight >= 0 && weight <= 16384), "a tile's weight is beyond its limit");
      this.filters.push(filters);
      this.weights.push(weights);
    }
  }

  readBase(bits, w, h) {
    const unit = Math.max(this.step >> 9, 1);
    const q = new Int32Array(w * h);
    for (const pair of this.planes.samples) {
      const plane = pair[0];
      plane.resize(w, h);
      const state = { total: 16, count: 1 };
      for (let y = 0, i = 0; y < h; y++) {
        if (y === 0) q[i++] = clip(bits.folded(18), -65535, 65535);
        const silent = bits.bit();
        for (let x = y === 0 ? 1 : 0; x < w; x++, i++) {
          let guess = x === 0 ? q[i - w] : q[i - 1];
          if (x > 0 && y > 0) {
            const [a, b, c] = [q[i - 1], q[i - w], q[i - w - 1]];
            guess = Math.max(Math.min(a, b), Math.min(Math.max(a, b), a + b - c));
          }
          q[i] = clip(guess + (silent ? 0 : bits.adaptive(state)), -65535, 65535);
        }
        for (let x = 0; x < w; x++) plane.values[plane.start + y * plane.stride + x] = imul(q[y * w + x], unit);
      }
      plane.extend();
    }
    for (const pair of this.planes.energies) {
      pair[0].resize(w, h);
      pair[0].values.fill(0);
    }
  }

  // -------------------------------------------------------------- passes (5.5)

  pass(level, { w, h }) {
    const { planes, lanes, channels } = this;
    const alongX = !(level & 1);
    const size = Math.max(16, alongX ? imul(this.step, 181) >> (7 + (level >> 1)) : this.step >> (level >> 1));
    this.size = size;
    if (!((this.coded >> level) & 1)) for (const row of planes.v) row.fill(0);
    this.limit = Math.floor(2 ** 29 / size);
    this.isCoded = (this.coded >> level) & 1;
    this.level = level;
    this.scaled = this.weights[level].map((list) => list.map((weight, i) => (i < 4 ? Math.min(Math.floor((weight * 4096) / size), 8191) : weight)));
    const rows = alongX ? h : h >> 1;
    const columns = alongX ? w >> 1 : w;
    const all = [...planes.samples, ...planes.energies];
    for (const [, child] of all) child.resize(w, h);
    for (let lane = 0, y = 0; y < rows; lane++) {
      const n = rows < 4 * lanes ? rows : Math.floor(rows / lanes) + (lane < rows % lanes ? 1 : 0);
      for (const row of [...planes.d, ...planes.r, ...planes.magnitudes.flat()]) row.fill(0);
      for (const end = y + n; y < end; y++) {
        this.predict(y, columns, alongX);
        if (this.isCoded) this.readRow(columns, lane);
        this.undo(y, columns, alongX);
        for (const pair of planes.magnitudes) pair.reverse();
      }
    }
    for (const pair of all) {
      const [parent, child] = pair;
      if (alongX && w & 1) {
        for (let y = 0; y < h; y++) {
          child.values[child.start + y * child.stride + w - 1] = parent.values[parent.start + y * parent.stride + parent.w - 1];
        }
      } else if (!alongX && h & 1) {
        const from = parent.start + (parent.h - 1) * parent.stride;
        child.values.set(parent.values.subarray(from, from + w), child.start + (h - 1) * child.stride);
      }
      child.extend();
      pair.reverse();
    }
  }

  /** Sums of all taps but the last, and the activities, of a row: what depends on finished rows only. */
  predict(y, n, alongX) {
    const { planes, channels, level } = this;
    const { stride, start } = planes.samples[0][0];
    const o = start + y * stride;
    const [i, j] = alongX ? [stride, 1] : [1, stride];
    for (let c = 0; c < channels; c++) {
      const group = c > 0 ? 1 : 0;
      const f = c === 0 ? predictLuma : predictChroma;
      f(planes.samples[c][0].values, o, n, i, j, this.filters[level][c], this.scaled[group], planes.d[c], planes.r[c], planes.sums[c],
        planes.activity[group], c === 2);
    }
    if (!this.isCoded) return;
    for (let g = 0; g < planes.energies.length; g++) {
      const [above, above2] = planes.magnitudes[g];
      const other = planes.magnitudes[1 - g][0];
      addEnergies(planes.energies[g][0].values, o, n, i, j, this.scaled[g], above, above2, other, planes.activity[g]);
    }
  }

  /** Make the children of a row's pairs. */
  undo(y, n, alongX) {
    const { planes, size, level } = this;
    const place = ([parent, child]) => {
      const a = child.start + (alongX ? y : 2 * y) * child.stride;
      return [parent.values, parent.start + y * parent.stride, n, child.values, a, a + (alongX ? 1 : child.stride), alongX ? 2 : 1];
    };
    planes.samples.forEach((pair, c) => {
      const taps = this.filters[level][c];
      makeChildren(...place(pair), size, taps[taps.length - 1], planes.v[c], planes.sums[c], planes.d[c], planes.r[c]);
    });
    planes.energies.forEach((pair, g) => makeEnergies(...place(pair), planes.magnitudes[g][1]));
  }

  /** Read the pairs of a row: their vectors and magnitudes. */
  readRow(n, lane) {
    const { planes, tables, next, words } = this;
    const { symbols, ranges, shapes, vectors, first, contexts } = tables;
    const [classes, chromaClasses] = this.part.classOf;
    const { nc } = this.part;
    const [luma, chroma] = planes.activity;
    const leftLuma = this.scaled[0][9];
    const leftChroma = this.channels === 1 ? 0 : this.scaled[1][9];
    const [v0, v1, v2] = planes.v;
    const m0 = planes.magnitudes[0][1];
    const m1 = planes.magnitudes[1][1];
    const end = this.end[lane];
    let state = this.state[lane];
    let at = this.at[lane];
    let t = this.trellis[lane];
    let before0 = 0; // magnitudes of the pair to the left
    let before1 = 0;
    for (let x = 0; x < n; x++) {
      const left0 = imul(before0, leftLuma) >> 8;
      const left1 = imul(before1, leftChroma) >> 8;
      const a0 = (luma[x] + (left0 < 16383 ? left0 : 16383)) >> 2;
      const a1 = (chroma[x] + (left1 < 16383 ? left1 : 16383)) >> 2;
      const lumaClass = classes[a0 < 4095 ? a0 : 4095];
      const book = t & 1;
      const context = imul(book, contexts) + imul(lumaClass, nc) + chromaClasses[a1 < 4095 ? a1 : 4095];
      const slot = state & 4095;
      let symbol = symbols[(context << 12) | slot];
      let range = ranges[(context << 8) | symbol];
      if (range === 0) {
        tables.fill(context);
        symbol = symbols[(context << 12) | slot];
        range = ranges[(context << 8) | symbol];
      }
      state = imul(range >>> 12, state >> 12) + slot - (range & 4095);
      if (symbol < first) {
        const shape = shapes[(book << 9) | symbol];
        const signs = shape >> 24;
        const vector = ((book << 12) | (symbol << 3) | (state & ((1 << signs) - 1))) << 2;
        state >>= signs;
        v0[x] = vectors[vector];
        v1[x] = vectors[vector + 1];
        v2[x] = vectors[vector + 2];
        before0 = shape & 1023;
        before1 = (shape >> 10) & 4095;
        t = next[2 * t + ((shape >> 22) & 1)];
        if (state < 32768) {
          if (at >= end) laneEnds();
          state = (state << 16) | words[at++];
        }
      } else {
        if (state < 32768) {
          if (at >= end) laneEnds();
          state = (state << 16) | words[at++];
        }
        this.state[lane] = state;
        this.at[lane] = at;
        t = next[2 * t + this.escape(lane, book, lumaClass)];
        state = this.state[lane];
        at = this.at[lane];
        v0[x] = this.v[0];
        v1[x] = this.v[1];
        v2[x] = this.v[2];
        before0 = Math.min(Math.abs(v0[x]) >> 2, 4095);
        before1 = Math.min((Math.abs(v1[x]) + Math.abs(v2[x])) >> 2, 4095);
      }
      m0[x + 1] = before0;
      m1[x + 1] = before1;
    }
    this.state[lane] = state;
    this.at[lane] = at;
    this.trellis[lane] = t;
  }

  /** Read the rest of a pair that began with an escape into `v`; returns its branch. */
  escape(lane, book, lumaClass) {
    const { part: { ny }, tables, v, limit } = this;
    const add = (entryBook, context) => {
      const symbol = this.rareSymbol(lane, entryBook, context);
      if (symbol === tables.entries) return -1; // an escape: no vector
      const shape = tables.shapes[(entryBook << 9) | symbol];
      const signs = shape >> 24;
      const vector = ((entryBook << 12) | (symbol << 3) | (this.state[lane] & ((1 << signs) - 1))) << 2;
      this.consume(lane, signs);
      for (let c = 0; c < 3; c++) v[c] += tables.vectors[vector + c];
      return (shape >> 22) & 1;
    };
    const clamp = () => { for (let c = 0; c < 3; c++) v[c] = clip(v[c], -limit, limit); };
    v.fill(0);
    let branch = add(book, 4 * ny + lumaClass);
    if (branch >= 0) return branch;
    let z = 1;
    while (z < 7 && (branch = add(0, ny * (Math.min(z, 4) - 1) + lumaClass)) < 0) z++;
    if (z === 7) {
      for (let c = 0; c < 3; c++) {
        let number = 0;
        for (let i = 0; i < 3; i++) {
          number = (number << 8) | (this.state[lane] & 255);
          this.consume(lane, 8);
        }
        v[c] = clip(((number << 8) >> 8) * 64, -limit, limit);
      }
      return 0;
    }
    clamp();
    while (z > 0) {
      z--;
      for (let c = 0; c < 3; c++) v[c] *= 4;
      branch = Math.max(0, add(z === 0 ? book : 0, 5 * ny + Math.min(z, 4)));
      clamp();
    }
    return branch;
  }

  rareSymbol(lane, book, context) {
    const starts = this.tables.starts(book, context);
    const state = this.state[lane];
    const slot = state & 4095;
    let low = 0;
    for (let high = starts.length - 1; high - low > 1;) {
      const middle = (low + high) >> 1;
      if (starts[middle] <= slot) low = middle;
      else high = middle;
    }
    this.state[lane] = imul(starts[low + 1] - starts[low], state >> 12) + slot - starts[low];
    if (low === this.tables.entries) this.consume(lane, 0);
    return low;
  }

  /** Drop bits of a lane's state and refill it. */
  consume(lane, bits) {
    let state = this.state[lane] >> bits;
    if (state < 32768) {
      if (this.at[lane] >= this.end[lane]) laneEnds();
      state = (state << 16) | this.words[this.at[lane]++];
    }
    this.state[lane] = state;
  }

  // -------------------------------------------------------------- pixels (5.6)

  pixels() {
    const { planes: { samples }, channels, colour } = this;
    const [{ values: c0, w, h, stride, start }] = samples[0];
    const out = new Uint8Array(w * h * channels);
    const clamp = new Uint8ClampedArray(1);
    if (channels === 1) {
      for (let y = 0, at = 0; y < h; y++) {
        for (let p = start + y * stride, end = p + w; p < end; p++) {
          const v = (c0[p] + 8224) >> 6;
          out[at++] = v < 0 ? 0 : v > 255 ? 255 : v;
        }
      }
      return out;
    }
    const c1 = samples[1][0].values;
    const c2 = samples[2][0].values;
    const [r0, g0, b0, r1, g1, b1, r2, g2, b2] = colour;
    const half = (1 << 19) + (1 << 27);
    for (let y = 0, at = 0; y < h; y++) {
      for (let p = start + y * stride, end = p + w; p < end; p++, at += 3) {
        const s0 = c0[p];
        const s1 = c1[p];
        const s2 = c2[p];
        const r = (imul(r0, s0) + imul(r1, s1) + imul(r2, s2) + half) >> 20;
        const g = (imul(g0, s0) + imul(g1, s1) + imul(g2, s2) + half) >> 20;
        const b = (imul(b0, s0) + imul(b1, s1) + imul(b2, s2) + half) >> 20;
        out[at] = r < 0 ? 0 : r > 255 ? 255 : r;
        out[at + 1] = g < 0 ? 0 : g > 255 ? 255 : g;
        out[at + 2] = b < 0 ? 0 : b > 255 ? 255 : b;
      }
    }
    return out;
  }
}

function laneEnds() {
  throw new FormatError("a lane of a tile ends early");
}

function minmod(a, b) {
  const low = b + ((a - b) & ((a - b) >> 31));
  const high = a + b - low;
  return (low & ~(low >> 31)) | (high & (high >> 31));
}

function gradients(P, p, i, j, w, c, e, w0, w1, w2, w3) {
  const g0 = Math.abs(w - c) + Math.abs(c - e);
  const g1 = Math.abs(P[p - i - j] - P[p - i]) + Math.abs(P[p - i + j] - P[p - i])
    + Math.abs(P[p + i - j] - P[p + i]) + Math.abs(P[p + i + j] - P[p + i]);
  const g2 = Math.abs(P[p - i] - c) + Math.abs(P[p + i] - c);
  const g3 = Math.abs(w - c - c + e);
  return (imul(w0, g0 < 32767 ? g0 : 32767) + imul(w1, g1 < 32767 ? g1 : 32767) + imul(w2, g2 < 32767 ? g2 : 32767)
    + imul(w3, g3 < 32767 ? g3 : 32767)) >> 12;
}

function predictLuma(P, o, n, i, j, taps, weights, d, r, sums, activity) {
  const [t0, t1, t2, t3, t4, t5, t6, t7, t8, t9, t10, t11, t12, t13] = taps;
  const [w0, w1, w2, w3] = weights;
  for (let x = 0; x < n; x++) {
    const p = o + x;
    const c = P[p];
    const w = P[p - j];
    const e = P[p + j];
    const nw = P[p - i - j];
    const ne = P[p - i + j];
    const sw = P[p + i - j];
    const se = P[p + i + j];
    sums[x] = imul(t0, w - e) + imul(t1, P[p - 2 * j] - P[p + 2 * j]) + imul(t2, nw - ne) + imul(t3, sw - se)
      + imul(t4, P[p - i - 2 * j] - P[p - i + 2 * j] + P[p + i - 2 * j] - P[p + i + 2 * j])
      + imul(t5, P[p - 2 * i - j] - P[p - 2 * i + j] + P[p + 2 * i - j] - P[p + 2 * i + j])
      + imul(t6, minmod(w - c, c - e)) + imul(t7, minmod(nw - c, c - se)) + imul(t8, minmod(sw - c, c - ne))
      + imul(t9, d[x + 1]) + imul(t10, d[x]) + imul(t11, d[x + 2]) + imul(t12, r[x + 1]) + imul(t13, r[x]);
    activity[x] = gradients(P, p, i, j, w, c, e, w0, w1, w2, w3);
  }
}

function predictChroma(P, o, n, i, j, taps, weights, d, r, sums, activity, second) {
  const [t0, t1, t2, t3, t4, t5] = taps;
  const [w0, w1, w2, w3] = weights;
  for (let x = 0; x < n; x++) {
    const p = o + x;
    const c = P[p];
    const w = P[p - j];
    const e = P[p + j];
    sums[x] = imul(t0, w - e) + imul(t1, P[p - 2 * j] - P[p + 2 * j])
      + imul(t2, P[p - i - j] - P[p - i + j] + P[p + i - j] - P[p + i + j])
      + imul(t3, minmod(w - c, c - e)) + imul(t4, d[x + 1]) + imul(t5, r[x + 1]);
    activity[x] = (second ? activity[x] : 0) + gradients(P, p, i, j, w, c, e, w0, w1, w2, w3);
  }
}

function addEnergies(E, o, n, i, j, weights, above, above2, other, activity) {
  const w = weights;
  for (let x = 0; x < n; x++) {
    const p = o + x;
    activity[x] += (imul(w[4], E[p]) + imul(w[5], E[p - i] + E[p + i] + E[p - j] + E[p + j]) + imul(w[6], above[x + 1])
      + imul(w[7], above[x]) + imul(w[8], above[x + 2]) + imul(w[10], above2[x + 1]) + imul(w[11], other[x + 1])) >> 8;
  }
}

/** Undo the halving of one component in a row; `a` and `b` are the places of the first pair's children. */
function makeChildren(P, p, n, C, a, b, step, size, tap, v, sums, d, r) {
  let residual = 0;
  for (let x = 0; x < n; x++, a += step, b += step) {
    const tapped = imul(tap, residual);
    residual = (imul(v[x], size) + 512) >> 10;
    residual = residual > 65535 ? 65535 : residual < -65535 ? -65535 : residual;
    let difference = residual + ((sums[x] + tapped + 1024) >> 11);
    difference = difference > 65535 ? 65535 : difference < -65535 ? -65535 : difference;
    d[x + 1] = difference;
    r[x + 1] = residual;
    const first = P[p + x] + ((difference + 1) >> 1);
    C[a] = first;
    C[b] = first - difference;
  }
}

function makeEnergies(E, p, n, C, a, b, step, m) {
  for (let x = 0; x < n; x++, a += step, b += step) C[a] = C[b] = m[x + 1] + (E[p + x] >> 1);
}

// ---------------------------------------------------------------- pixels without loss (6)

function plainPixels(data, width, height, channels) {
  const at = { value: 0 };
  const take = (n) => {
    need(at.value + n <= data.length, "a tile without loss ends early");
    at.value += n;
    return data.subarray(at.value - n, at.value);
  };
  const [way] = take(1);
  need(way === 0 || way === 2 || (way === 1 && channels >= 3), `a tile without loss is coded in an unknown way, ${way}`);
  const count = way === 2 ? take(1)[0] + 1 : 0;
  const colours = take(count * channels);
  const indexBits = count <= 2 ? 1 : count <= 4 ? 2 : count <= 16 ? 4 : 8;
  const size = way === 2 ? (width * indexBits + 7) >> 3 : width * channels;
  const distance = way === 2 ? 1 : channels;
  const rows = inflate(data.subarray(at.value), height * (size + 1));
  let from = 0;
  const out = new Uint8Array(width * height * channels);
  let above = new Uint8Array(distance + size);
  let row = new Uint8Array(distance + size);
  for (let y = 0; y < height; y++) {
    need(from < rows.length, "a tile without loss has too few rows");
    const filter = rows[from++];
    need(filter <= (y > 0 ? 5 : 4), `row ${y} of a tile without loss has an unknown filter`);
    if (filter === 5) row.set(above);
    else {
      need(from + size <= rows.length, "a tile without loss has too few rows");
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
        for (let k = 0; k < channels; k++) out[to + k] = row[(x + 1) * channels + k];
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
function halved(pixels, width, height, channels, reduce) {
  if (reduce === 0) return pixels;
  const side = 1 << reduce;
  const w = Math.ceil(width / side);
  const h = Math.ceil(height / side);
  const out = new Uint8Array(w * h * channels);
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

// ---------------------------------------------------------------- what callers use

/** What a file says of itself; all its checksums are verified, no pixel is decoded. */
export function info(data, { maxPixels = MAX_SIDE ** 2 } = {}) {
  const { header, metadata, tiles } = parseContainer(bytesOf(data), maxPixels);
  const { parameterBytes: bytes, ...rest } = header;
  const view = viewOf(bytes);
  let parameters = {};
  if (header.method === "raster" && bytes.length === 4) {
    parameters = { errorThreshold: view.getUint16(0, true) / 64, scale: view.getUint16(2, true) / 256 };
  } else if (header.method === "pyramid" && bytes.length === 8) {
    parameters = { step: view.getUint32(0, true) / 1024, states: bytes[4], lanes: bytes[5] };
  }
  return { ...rest, parameters, metadata, tiles };
}

/** The place of a region of the full image in the image at 1 / 2^reduce of its size. */
function reducedPlace({ width, height }, region, reduce) {
  const [x, y, w, h] = region ?? [0, 0, width, height];
  if (![x, y, w, h].every(Number.isInteger) || x < 0 || y < 0 || w < 1 || h < 1 || x + w > width || y + h > height) {
    throw new OptionError(`region ${x},${y},${w},${h} is not inside the image of ${width} x ${height} pixels`);
  }
  const down = (length) => Math.ceil(length / 2 ** reduce);
  const view = { x: x >> reduce, y: y >> reduce };
  return { ...view, width: down(x + w) - view.x, height: down(y + h) - view.y };
}

/**
 * Decode an image, or a region of it, at 1 / 2^reduce of its size.
 * Returns `{width, height, channels, data}`; `onTile` is called with `{x, y, width, height, data, done, of}` for every part as it is made.
 */
export function decode(data, { model, region = null, reduce = 0, maxPixels = DEFAULT_MAX_PIXELS, onTile = null } = {}) {
  const bytes = bytesOf(data);
  const { header, tiles } = parseContainer(bytes, maxPixels);
  if (!Number.isInteger(reduce) || reduce < 0 || reduce > MAX_REDUCE) {
    throw new OptionError(`reduce is ${reduce}; it must be 0 ... ${MAX_REDUCE}`);
  }
  const part = sectionOf([model ?? []].flat(), header);
  const isPyramid = header.method === "pyramid";
  const early = isPyramid ? reduce : 0; // raster cannot stop early: it is decoded whole, then averaged
  const decodeTile = isPyramid ? pyramidDecoder(header, part, reduce) : rasterDecoder(header, part);
  tiles.forEach((tile, i) => {
    need(tile.length >= (isPyramid ? 3 : Math.ceil((tile.width * tile.height) / 32)), `tile ${i} is shorter than any tile of its size`);
  });
  const { channels } = header;
  const wanted = reducedPlace(header, region, reduce);
  let view = wanted;
  if (early < reduce) {
    const [x, y] = [wanted.x << reduce, wanted.y << reduce];
    view = { x, y, width: Math.min(wanted.width << reduce, header.width - x), height: Math.min(wanted.height << reduce, header.height - y) };
  }
  const out = new Uint8Array(view.width * view.height * channels);
  const size = header.tileSize >> early;
  const [firstRow, firstColumn] = [Math.floor(view.y / size), Math.floor(view.x / size)];
  const [rows, columns] = [Math.ceil((view.y + view.height) / size), Math.ceil((view.x + view.width) / size)];
  const of = (rows - firstRow) * (columns - firstColumn);
  let done = 0;
  for (let row = firstRow; row < rows; row++) {
    for (let column = firstColumn; column < columns; column++) {
      const index = row * header.columns + column;
      const tile = tiles[index];
      let pixels;
      try {
        pixels = decodeTile(bytes.subarray(tile.offset, tile.offset + tile.length), tile.width, tile.height);
      } catch (error) {
        if (error instanceof RnnicError) error.message = `tile ${index}: ${error.message}`;
        throw error;
      }
      const width = Math.ceil(tile.width / 2 ** early);
      const [x0, y0] = [Math.max(view.x, column * size), Math.max(view.y, row * size)];
      const [x1, y1] = [Math.min(view.x + view.width, column * size + width),
        Math.min(view.y + view.height, row * size + Math.ceil(tile.height / 2 ** early))];
      for (let y = y0; y < y1; y++) {
        const from = ((y - row * size) * width + x0 - column * size) * channels;
        out.set(pixels.subarray(from, from + (x1 - x0) * channels), ((y - view.y) * view.width + x0 - view.x) * channels);
      }
      done++;
      if (onTile && early === reduce) onTile({ x: x0 - view.x, y: y0 - view.y, width: x1 - x0, height: y1 - y0, done, of });
    }
  }
  const pixels = early < reduce ? halved(out, view.width, view.height, channels, reduce) : out;
  return { width: wanted.width, height: wanted.height, channels, data: pixels };
}

/** An image's pixels as RGBA, for `ImageData`. */
export function toRgba({ data, channels }) {
  const n = data.length / channels;
  const out = new Uint8ClampedArray(4 * n);
  for (let i = 0; i < n; i++) {
    const p = i * channels;
    out[4 * i] = data[p];
    out[4 * i + 1] = data[channels === 3 ? p + 1 : p];
    out[4 * i + 2] = data[channels === 3 ? p + 2 : p];
    out[4 * i + 3] = 255;
  }
  return out;
}

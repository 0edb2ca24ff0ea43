/** Chunks and the container (SPEC.md 2). */

import { bytesOf, hex, latin, viewOf } from "./bytes.js";
import { crc32 } from "./checksums.js";
import { ChecksumError, FormatError, LimitError, TruncatedError, need } from "./errors.js";

const FILE_SIGNATURE = [0x8a, 0x52, 0x4e, 0x4e, 0x49, 0x43, 13, 10];
export const MODEL_SIGNATURE = [0x8a, 0x52, 0x4e, 0x4e, 0x4d, 0x44, 13, 10];

/** Yields chunk after chunk: type, payload, and where the payload starts; every CRC is checked. Who reads them knows the last one. */
export function* chunksOf(data, signature, what) {
  need(signature.every((byte, i) => i >= data.length || data[i] === byte), `this is not an RNNIC ${what}`);
  need(data.length >= 8, `the ${what} ends in its signature`, TruncatedError);
  const view = viewOf(data);
  for (let at = 8; ;) {
    need(at + 12 <= data.length, `the ${what} ends at byte ${data.length}, before its last chunk`, TruncatedError);
    const type = latin(data.subarray(at, at + 4));
    need(/^[A-Za-z][A-Za-z0-9]{3}$/.test(type), `there is no chunk type at byte ${at}`);
    const start = at + 8;
    const end = start + view.getUint32(at + 4, true);
    need(end + 4 <= data.length, `the ${what} ends in its chunk ${type}`, TruncatedError);
    const payload = data.subarray(start, end);
    const sum = crc32(payload, crc32(data.subarray(at, at + 4)));
    need(sum === view.getUint32(end, true), `chunk ${type} at byte ${at} does not match its checksum: the ${what} is damaged`, ChecksumError);
    yield { type, payload, start };
    at = end + 4;
  }
}

export const VERSION = 1;
const METHODS = ["raster", "pyramid"];
export const MAX_SIDE = 2 ** 24;
const MAX_TILES = 2 ** 20;
const ONCE = { exif: "exif", iccp: "icc", xmp0: "xmp" };

function parseHead(payload, maxPixels) {
  need(payload.length >= 22, "chunk HEAD is too short");
  const view = viewOf(payload);
  const [version, code, channels, bitDepth] = payload;
  need(version <= VERSION, `the file is of version ${version}, this decoder reads up to ${VERSION}: it needs a newer one`);
  need(version > 0, "there is no version 0");
  need(code < METHODS.length, `method ${code} is unknown: it needs a newer decoder`);
  need(channels >= 1 && channels <= 4, `${channels} channels: it must be 1 ... 4`);
  need(bitDepth === 8 || bitDepth === 16, `${bitDepth} bits a sample: it must be 8 or 16`);
  const [width, height] = [4, 8].map((offset) => view.getUint32(offset, true));
  const tileSize = view.getUint16(12, true);
  need(width > 0 && height > 0 && width <= MAX_SIDE && height <= MAX_SIDE, `${width} x ${height} pixels: sides are 1 ... 2^24`, LimitError);
  need(tileSize >= 16 && tileSize <= 4096, `tile size ${tileSize}: it must be 16 ... 4096`, LimitError);
  need(width * height <= maxPixels, `${width} x ${height} pixels are more than maxPixels, ${maxPixels}; raise it if you trust the file`, LimitError);
  const columns = Math.ceil(width / tileSize);
  const rows = Math.ceil(height / tileSize);
  need(columns * rows <= MAX_TILES, `${columns * rows} tiles are more than 2^20`, LimitError);
  return {
    version, method: METHODS[code], channels, colours: channels < 3 ? 1 : 3, alpha: channels % 2 === 0, bitDepth, width, height, tileSize, columns, rows,
    modelId: hex(payload.subarray(14, 22)), parameterBytes: payload.slice(22),
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
export function parseContainer(data, maxPixels) {
  const chunks = chunksOf(data, FILE_SIGNATURE, "file");
  const first = chunks.next().value;
  need(first.type === "HEAD", `the first chunk is ${first.type} instead of HEAD`);
  const header = parseHead(first.payload, maxPixels);
  const count = header.columns * header.rows;
  const metadata = { exif: null, icc: null, xmp: null, text: Object.create(null) };
  let chunk = chunks.next().value;
  for (; /^[a-z]/.test(chunk.type); chunk = chunks.next().value) addMetadata(metadata, chunk.type, chunk.payload);
  let lengths = [chunk.payload.length];
  if (count > 1) {
    const { type, payload, start } = chunk;
    need(type === "TIDX", `chunk ${type} stands where TIDX is due`);
    need(payload.length === 4 * count, "chunk TIDX has a wrong length");
    const view = viewOf(payload);
    lengths = Array.from({ length: count }, (_, i) => view.getUint32(4 * i, true));
    const due = lengths.reduce((sum, length) => sum + length + 12, 0);
    need(start + payload.length + 4 + due <= data.length, "the file ends in its tiles", TruncatedError);
    chunk = chunks.next().value;
  }
  const tiles = lengths.map((length, i) => {
    const { type, payload, start } = i === 0 ? chunk : chunks.next().value;
    need(type === "TILE", `chunk ${type} stands where tile ${i} is due`);
    need(payload.length === length, `tile ${i} has another length than TIDX says`);
    return { ...tileBox(header, i), offset: start, length };
  });
  return { header, metadata, tiles };
}

function tileBox({ width, height, tileSize, columns }, index) {
  const x = (index % columns) * tileSize;
  const y = Math.floor(index / columns) * tileSize;
  return { x, y, width: Math.min(tileSize, width - x), height: Math.min(tileSize, height - y) };
}

/** A number of seven bits a byte, at most five bytes; `from.at` is moved behind it. */
export function varint(payload, from) {
  let value = 0;
  for (let i = 0; i < 5; i++) {
    need(from.at < payload.length, "a tile ends in its lengths", TruncatedError);
    const byte = payload[from.at++];
    value += (byte & 127) * 2 ** (7 * i);
    if (byte < 128) return value;
  }
  throw new TruncatedError("a length in a tile has more than five bytes");
}

/** What comes before a tile's codes after its length, and what follows it (2.3). */
export function partOf(payload) {
  const from = { at: 0 };
  const end = varint(payload, from) + from.at;
  need(end <= payload.length, "a tile ends within what comes before its codes", TruncatedError);
  return [payload.subarray(from.at, end), payload.subarray(end)];
}

/**
 * Decoder of the RNNIC image format, written from SPEC.md: for browsers, workers and Node, without dependencies.
 *
 * All arithmetic is on 32-bit integers, as the format demands.
 */

import { bytesOf } from "./bytes.js";
import { MAX_SIDE, parseContainer, partOf } from "./container.js";
import { OptionError, RnnicError, TruncatedError, need } from "./errors.js";
import { alphaOf, halved, samplesOf } from "./lossless.js";
import { sectionOf } from "./model.js";
import { pyramidDecoder, pyramidParameters } from "./pyramid.js";
import { rasterDecoder, rasterParameters } from "./raster.js";

export { crc32 } from "./checksums.js";
export { VERSION } from "./container.js";
export {
  ChecksumError, FormatError, LimitError, ModelMissingError, OptionError, RnnicError, TruncatedError,
} from "./errors.js";
export { Model } from "./model.js";

export const MAX_REDUCE = 5;
export const DEFAULT_MAX_PIXELS = 2 ** 28;

/** What a file says of itself; all its checksums are verified, no pixel is decoded. */
export function info(data, { maxPixels = MAX_SIDE ** 2 } = {}) {
  const { header, metadata, tiles } = parseContainer(bytesOf(data), maxPixels);
  const { parameterBytes, ...rest } = withParameters(header);
  return { ...rest, metadata, tiles };
}

const withParameters = (header) => ({ ...header, parameters: (header.method === "raster" ? rasterParameters : pyramidParameters)(header) });

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

/** Returns a function that decodes a tile's payload to all its samples at 1 / 2^reduce of its size. */
function tileDecoder(header, part, reduce) {
  const decodeColours = header.method === "pyramid" ? pyramidDecoder(header, part, reduce) : rasterDecoder(header, part);
  if (!header.alpha) return decodeColours;
  const { channels, colours, bitDepth } = header;
  return (payload, width, height) => {
    const [own, rest] = partOf(payload);
    const pixels = decodeColours(rest, width, height);
    const alpha = halved(alphaOf(own, width, height, bitDepth), width, height, 1, reduce);
    const out = samplesOf(bitDepth, alpha.length * channels);
    for (let i = 0, from = 0, to = 0; i < alpha.length; i++) {
      for (let k = 0; k < colours; k++) out[to++] = pixels[from++];
      out[to++] = alpha[i];
    }
    return out;
  };
}

/**
 * What is to be decoded of a file, made without a model: `{image: {width, height, channels, bitDepth}, early, parts, ...}`, plain objects that
 * may be sent to workers. A part `{index, offset, length, x, y, width, height, ...}` is what a tile gives, with the tile's place in the
 * file; where `early` is false (method raster, reduced), parts are those of the image at full size.
 */
export function plan(data, { region = null, reduce = 0, maxPixels = DEFAULT_MAX_PIXELS } = {}) {
  const bytes = bytesOf(data);
  const { header: plain, tiles } = parseContainer(bytes, maxPixels);
  const header = withParameters(plain);
  if (!Number.isInteger(reduce) || reduce < 0 || reduce > MAX_REDUCE) {
    throw new OptionError(`reduce is ${reduce}; it must be 0 ... ${MAX_REDUCE}`);
  }
  const isPyramid = header.method === "pyramid";
  const level = isPyramid ? reduce : 0; // raster cannot stop early: it is decoded whole, then averaged
  tiles.forEach((tile, i) => {
    const payload = bytes.subarray(tile.offset, tile.offset + tile.length);
    const { length } = header.alpha ? partOf(payload)[1] : payload;
    need(length >= (isPyramid ? 3 : Math.ceil((tile.width * tile.height) / 32)), `tile ${i} is shorter than any tile of its size`, TruncatedError);
  });
  const { channels, bitDepth } = header;
  const { x, y, width, height } = reducedPlace(header, region, reduce);
  let view = { x, y, width, height };
  if (level < reduce) {
    const [left, top] = [x << reduce, y << reduce];
    view = { x: left, y: top, width: Math.min(width << reduce, header.width - left), height: Math.min(height << reduce, header.height - top) };
  }
  const size = header.tileSize >> level;
  const parts = [];
  for (let row = Math.floor(view.y / size); row * size < view.y + view.height; row++) {
    for (let column = Math.floor(view.x / size); column * size < view.x + view.width; column++) {
      const index = row * header.columns + column;
      const tile = tiles[index];
      const [w, h] = [tile.width, tile.height].map((side) => Math.ceil(side / 2 ** level));
      const [x0, y0] = [Math.max(view.x, column * size), Math.max(view.y, row * size)];
      parts.push({
        index, tile, offset: tile.offset, length: tile.length, x: x0 - view.x, y: y0 - view.y,
        width: Math.min(view.x + view.width, column * size + w) - x0, height: Math.min(view.y + view.height, row * size + h) - y0,
        left: x0 - column * size, top: y0 - row * size, stride: w,
      });
    }
  }
  return { header, reduce, level, early: level === reduce, view, parts, image: { width, height, channels, bitDepth } };
}

/** Returns a function that makes the samples of a planned part of its tile's payload, and puts them into `out`, an image of that width, at x, y. */
function partDecoder({ header, level }, model) {
  const decodeTile = tileDecoder(header, sectionOf([model ?? []].flat(), header), level);
  const { channels } = header;
  return ({ index, tile, width, height, left, top, stride }, payload, out, outWidth, x, y) => {
    let pixels;
    try {
      pixels = decodeTile(payload, tile.width, tile.height);
    } catch (error) {
      if (error instanceof RnnicError) error.message = `tile ${index}: ${error.message}`;
      throw error;
    }
    for (let row = 0; row < height; row++) {
      const from = ((top + row) * stride + left) * channels;
      out.set(pixels.subarray(from, from + width * channels), ((y + row) * outWidth + x) * channels);
    }
  };
}

/** The samples of one part of a plan, of its payload (`length` bytes at `offset` of the file) alone. */
export function decodePart(planned, part, payload, model) {
  const { width, height } = part;
  const { channels, bitDepth } = planned.image;
  const data = samplesOf(bitDepth, width * height * channels);
  partDecoder(planned, model)(part, bytesOf(payload), data, width, 0, 0);
  return { width, height, channels, bitDepth, data };
}

/**
 * Decode an image, or a region of it, at 1 / 2^reduce of its size.
 * Returns `{width, height, channels, bitDepth, data}`; `onTile` is called with `{x, y, width, height, done, of, image}` for every part
 * as it is made, `image` being the result so far; not where a file of method raster is reduced.
 */
export function decode(data, { model, onTile = null, ...options } = {}) {
  const bytes = bytesOf(data);
  const planned = plan(bytes, options);
  const { parts, view, early, reduce } = planned;
  const decodeInto = partDecoder(planned, model);
  const { channels, bitDepth } = planned.image;
  const out = samplesOf(bitDepth, view.width * view.height * channels);
  const image = { ...planned.image, data: out };
  parts.forEach((part, i) => {
    const { x, y, width, height, offset, length } = part;
    decodeInto(part, bytes.subarray(offset, offset + length), out, view.width, x, y);
    if (onTile && early) onTile({ x, y, width, height, done: i + 1, of: parts.length, image });
  });
  return early ? image : { ...image, data: halved(out, view.width, view.height, channels, reduce) };
}

/** An image's pixels as RGBA of 8 bits a sample, for `ImageData`. */
export function toRgba({ data, channels }) {
  const n = data.length / channels;
  const deep = data.BYTES_PER_ELEMENT === 2;
  const last = channels - 1;
  const [green, blue] = channels < 3 ? [0, 0] : [1, 2];
  const byte = deep ? (v) => Math.floor((v + 128) / 257) : (v) => v;
  const out = new Uint8ClampedArray(4 * n);
  for (let p = 0, to = 0; to < out.length; p += channels, to += 4) {
    out[to] = byte(data[p]);
    out[to + 1] = byte(data[p + green]);
    out[to + 2] = byte(data[p + blue]);
    out[to + 3] = channels & 1 ? 255 : byte(data[p + last]);
  }
  return out;
}

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
 * Decode an image, or a region of it, at 1 / 2^reduce of its size.
 * Returns `{width, height, channels, bitDepth, data}`; `onTile` is called with `{x, y, width, height, done, of, image}` for every part
 * as it is made, `image` being the result so far; not where a file of method raster is reduced.
 */
export function decode(data, { model, region = null, reduce = 0, maxPixels = DEFAULT_MAX_PIXELS, onTile = null } = {}) {
  const bytes = bytesOf(data);
  const { header: plain, tiles } = parseContainer(bytes, maxPixels);
  const header = withParameters(plain);
  if (!Number.isInteger(reduce) || reduce < 0 || reduce > MAX_REDUCE) {
    throw new OptionError(`reduce is ${reduce}; it must be 0 ... ${MAX_REDUCE}`);
  }
  const part = sectionOf([model ?? []].flat(), header);
  const isPyramid = header.method === "pyramid";
  const early = isPyramid ? reduce : 0; // raster cannot stop early: it is decoded whole, then averaged
  const decodeTile = tileDecoder(header, part, early);
  tiles.forEach((tile, i) => {
    const payload = bytes.subarray(tile.offset, tile.offset + tile.length);
    const { length } = header.alpha ? partOf(payload)[1] : payload;
    need(length >= (isPyramid ? 3 : Math.ceil((tile.width * tile.height) / 32)), `tile ${i} is shorter than any tile of its size`, TruncatedError);
  });
  const { channels, bitDepth } = header;
  const wanted = reducedPlace(header, region, reduce);
  let view = wanted;
  if (early < reduce) {
    const [x, y] = [wanted.x << reduce, wanted.y << reduce];
    view = { x, y, width: Math.min(wanted.width << reduce, header.width - x), height: Math.min(wanted.height << reduce, header.height - y) };
  }
  const out = samplesOf(bitDepth, view.width * view.height * channels);
  const size = header.tileSize >> early;
  const [firstRow, firstColumn] = [Math.floor(view.y / size), Math.floor(view.x / size)];
  const [rows, columns] = [Math.ceil((view.y + view.height) / size), Math.ceil((view.x + view.width) / size)];
  const of = (rows - firstRow) * (columns - firstColumn);
  const image = { width: wanted.width, height: wanted.height, channels, bitDepth, data: out };
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
      if (onTile && early === reduce) onTile({ x: x0 - view.x, y: y0 - view.y, width: x1 - x0, height: y1 - y0, done, of, image });
    }
  }
  return early < reduce ? { ...image, data: halved(out, view.width, view.height, channels, reduce) } : image;
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

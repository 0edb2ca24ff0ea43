/** Version of the format that this decoder reads. */
export const VERSION: number;
/** Times that the sides of an image can be halved. */
export const MAX_REDUCE: number;
/** Images of more pixels are refused unless `maxPixels` says otherwise. */
export const DEFAULT_MAX_PIXELS: number;

type Bytes = ArrayBuffer | ArrayBufferView;

/** Base class of what this module throws on purpose. */
export class RnnicError extends Error {}
/** Not a valid file, or one that needs what this decoder lacks. */
export class FormatError extends RnnicError {}
/** The data ends before the file does. */
export class TruncatedError extends FormatError {}
/** A checksum differs: the file is damaged. */
export class ChecksumError extends FormatError {}
/** The model that the file was made with is not at hand. */
export class ModelMissingError extends RnnicError {}
/** The data asks for more than a limit allows. */
export class LimitError extends RnnicError {}
/** An option without meaning or out of its range. */
export class OptionError extends RnnicError {}

/** What is shared between images: palettes and tables. Keep it: its tables are made when first needed. */
export class Model {
  constructor(data: Bytes);
  /** Fetch and parse a model file. */
  static load(url: string | URL): Promise<Model>;
}

export interface Place {
  x: number;
  y: number;
  width: number;
  height: number;
}

export interface DecodeOptions {
  /** The model, or several to choose from. */
  model: Model | Model[];
  /** x, y, width and height in pixels of the full image: only the tiles that it touches are decoded. */
  region?: [number, number, number, number] | null;
  /** 0 to 5: the image at 1 / 2^reduce of its size, sides rounded up. */
  reduce?: number;
  maxPixels?: number;
  /** Called for every tile as it is decoded, with its place in the result and the result so far; not where a file of method raster is reduced. */
  onTile?: ((tile: Place & { done: number; of: number; image: Image }) => void) | null;
}

export interface Image {
  width: number;
  height: number;
  /** 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha. */
  channels: number;
  bitDepth: 8 | 16;
  /** Samples row by row, those of a pixel together. */
  data: Uint8Array | Uint16Array;
}

export interface Info {
  version: number;
  method: "raster" | "pyramid";
  channels: number;
  /** Channels without alpha. */
  colours: 1 | 3;
  alpha: boolean;
  bitDepth: 8 | 16;
  width: number;
  height: number;
  tileSize: number;
  columns: number;
  rows: number;
  /** 32 hexadecimal digits. */
  modelId: string;
  parameters: Record<string, number>;
  metadata: {
    exif: Uint8Array | null;
    icc: Uint8Array | null;
    xmp: Uint8Array | null;
    text: Record<string, string>;
  };
  /** Where the tiles are in the image, and their payloads in the file. */
  tiles: (Place & { offset: number; length: number })[];
}

/** A tile of an image, or of a region: its place in the result, and that of its payload in the file. */
export interface Part extends Place {
  index: number;
  offset: number;
  length: number;
}

/** What is to be decoded of a file: plain objects, that may be sent to workers. */
export interface Plan {
  image: Omit<Image, "data">;
  /** False where a file of method raster is reduced: parts are then those of the image at full size, of which `decode` makes the smaller one. */
  early: boolean;
  parts: Part[];
}

/** Read and check a file for decoding it part by part; no model is needed. */
export function plan(data: Bytes, options?: Omit<DecodeOptions, "model" | "onTile">): Plan;
/** Decode one part of a plan; `payload` are the `length` bytes at `offset` of the file. The plan may come without its parts. */
export function decodePart(plan: Omit<Plan, "parts">, part: Part, payload: Bytes, model: Model | Model[]): Image;
/** Decode an image, a region of it, or either at a fraction of its size. */
export function decode(data: Bytes, options: DecodeOptions): Image;
/** What a file says of itself; all its checksums are verified, no pixel is decoded. */
export function info(data: Bytes, options?: { maxPixels?: number }): Info;
/** An image's pixels as RGBA of 8 bits a sample, for `ImageData`. */
export function toRgba(image: Pick<Image, "data" | "channels">): Uint8ClampedArray;
/** CRC-32 as in PNG and zlib, of data after that of which `before` is the CRC. */
export function crc32(data: Uint8Array, before?: number): number;

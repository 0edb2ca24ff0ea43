import type { DecodeOptions, Image, Info, Place } from "./rnnic.js";

/** A part of an image as RGBA of 8 bits a sample, for `ImageData`; `done` parts of `of` are made. */
export interface Part extends Place {
  done: number;
  of: number;
  rgba: Uint8ClampedArray;
}

/** A decoder in Web Workers of its own: one, and more as soon as an image has several tiles. */
export class RemoteDecoder {
  /** `urls` are those of model files; `workers` is how many may be started, one a processor (at most 8) unless said otherwise. */
  constructor(urls: (string | URL)[], options?: { workers?: number });
  /** Fulfilled when the models are there. */
  readonly ready: Promise<void>;
  info(data: ArrayBuffer | ArrayBufferView, options?: { maxPixels?: number }): Promise<Info>;
  /** `onPart` is called for every tile, in any order. */
  decode(data: ArrayBuffer | ArrayBufferView, options?: Omit<DecodeOptions, "model" | "onTile">, onPart?: ((part: Part) => void) | null): Promise<Image>;
  /** End the workers; what they have not answered fails. */
  close(reason?: Error): void;
}

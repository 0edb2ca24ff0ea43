import type { DecodeOptions, Image, Info, Place } from "./rnnic.js";

/** A part of an image as RGBA of 8 bits a sample, for `ImageData`; `done` parts of `of` are made. */
export interface Part extends Place {
  done: number;
  of: number;
  rgba: Uint8ClampedArray;
}

/** A decoder in a Web Worker of its own. */
export class RemoteDecoder {
  /** `urls` are those of model files. */
  constructor(urls: (string | URL)[]);
  /** Fulfilled when the models are there. */
  readonly ready: Promise<void>;
  info(data: ArrayBuffer | ArrayBufferView, options?: { maxPixels?: number }): Promise<Info>;
  decode(data: ArrayBuffer | ArrayBufferView, options?: Omit<DecodeOptions, "model" | "onTile">, onPart?: ((part: Part) => void) | null): Promise<Image>;
  /** End the worker; what it has not answered fails. */
  close(reason?: Error): void;
}

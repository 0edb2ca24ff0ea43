/** The arrays that tiles of method pyramid are decoded in. */

import { LEVELS } from "./pyramid-model.js";

/** Sides of the planes below each level, which levels have a pass, and the base plane. */
export function geometry(width, height) {
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

/** What the tiles of an image are decoded in, one after the other; rows of up to four lanes are `stride` apart. */
export class Planes {
  constructor(w, h, channels) {
    const two = () => [new Plane(w, h), new Plane(w, h)];
    this.samples = Array.from({ length: channels }, two); // parents and children
    this.energies = [two(), two()]; // the second one of grey tiles stays zero
    this.stride = w + 2; // a zero on each side
    const rows = () => new Int32Array(4 * this.stride);
    this.d = Array.from({ length: channels }, rows);
    this.r = Array.from({ length: channels }, rows);
    this.sums = Array.from({ length: channels }, rows);
    this.v = [rows(), rows(), rows()];
    this.activity = [rows(), rows()]; // luma, chroma
    this.magnitudes = [rows(), rows()]; // luma | chroma << 12, of the row above and the one two above
  }
}

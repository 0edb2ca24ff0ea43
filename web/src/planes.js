/** The arrays that tiles of method pyramid are decoded in. */

import { clip } from "./bytes.js";
import { makeKernels } from "./kernels.js";
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

const beyond = (last, before) => clip(2 * last - before, -32768, 32767);

let kernels = { P: [], RANGES: [], RARE_RANGES: [] };

/** Kernels for so many samples and for the contexts of any of the model's parts, of two codebooks at most. */
function kernelsFor(size, parts) {
  const { P, RANGES, RARE_RANGES } = kernels;
  const common = 2 * Math.max(...parts.map(({ ny, nc }) => ny * nc));
  const rare = 2 * Math.max(...parts.map(({ ny }) => ny * 5 + 5));
  // Enough for RGB tiles of 1024 x 1024 and the usual models, so that kernels are seldom made again: later ones are slower. What is not
  // used takes no memory.
  if (P.length < size || RANGES.length < common << 8 || RARE_RANGES.length < rare << 9) {
    kernels = makeKernels(Math.max(size, P.length, 10 * 1028 ** 2), Math.max(common, 512), Math.max(rare, 256));
  }
  return kernels;
}

/**
 * Planes of samples and energies with a border of two on each side, all in one array, `size` apart: of every component, then the
 * energies of luma and, in RGB, of chroma; first a set of them from `parents` on, on which a second one from `children` on follows.
 */
export class Planes {
  constructor(w, h, channels, parts) {
    this.channels = channels;
    this.count = channels + (channels === 3 ? 2 : 1);
    this.size = (w + 4) * (h + 4);
    this.parents = 0;
    this.children = this.count * this.size;
    this.kernels = kernelsFor(2 * this.children, parts);
    this.values = this.kernels.P;
    this.isSmooth = false; // whether planes of samples go on with their slopes beyond their borders
  }

  /** Place of the first sample of row y in a plane of width w that begins at `from`. */
  static at(from, w, y) {
    return from + (y + 2) * (w + 4) + 2;
  }

  /** What was made of the parents becomes parents, w x h each. */
  swap(w, h) {
    [this.parents, this.children] = [this.children, this.parents];
    for (let c = 0; c < this.count; c++) this.extend(c, w, h);
  }

  /** Fill the border of a parent's plane: repeat the outermost samples, or go on with their slopes (5.5). */
  extend(c, w, h) {
    const { values } = this;
    const from = this.parents + c * this.size;
    const stride = w + 4;
    const outside = this.isSmooth && c < this.channels ? beyond : (last) => last;
    const fill = (first, count, across, along, length) => {
      const after = length > 1 ? outside : (last) => last;
      for (let i = 0, at = first; i < count; i++, at += across) {
        const end = at + (length - 1) * along;
        for (let k = 0; k < 2; k++) {
          values[at - (k + 1) * along] = after(values[at - k * along], values[at - (k - 1) * along]);
          values[end + (k + 1) * along] = after(values[end + k * along], values[end + (k - 1) * along]);
        }
      }
    };
    fill(Planes.at(from, w, 0), h, stride, 1, w);
    fill(from + 2 * stride, stride, 1, stride, h);
  }
}

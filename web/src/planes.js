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

/** Kernels for so many samples and for the contexts of `tables`. */
function kernelsFor(size, { books, contexts, rareContexts }) {
  const { P, RANGES, RARE_RANGES } = kernels;
  const [common, rare] = [books * contexts, books * rareContexts];
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
  constructor(w, h, channels, tables) {
    this.channels = channels;
    this.count = channels + (channels === 3 ? 2 : 1);
    this.size = (w + 4) * (h + 4);
    this.parents = 0;
    this.children = this.count * this.size;
    this.kernels = kernelsFor(2 * this.children, tables);
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
    if (this.isSmooth && c < this.channels) {
      const slopesOf = (first, count, across, along, length) => {
        for (let i = 0, at = first; i < count; i++, at += across) {
          const last = at + (length - 1) * along;
          for (let k = 1; k < 3; k++) {
            values[at - k * along] = length === 1 ? values[at] : beyond(values[at - (k - 1) * along], values[at - (k - 2) * along]);
            values[last + k * along] = length === 1 ? values[at] : beyond(values[last + (k - 1) * along], values[last + (k - 2) * along]);
          }
        }
      };
      slopesOf(Planes.at(from, w, 0), h, stride, 1, w);
      slopesOf(from + 2 * stride, stride, 1, stride, h);
      return;
    }
    for (let y = 0, left = Planes.at(from, w, 0); y < h; y++, left += stride) {
      const right = left + w - 1;
      values[left - 2] = values[left - 1] = values[left];
      values[right + 2] = values[right + 1] = values[right];
    }
    const [first, last] = [from + 2 * stride, from + (h + 1) * stride];
    for (const [row, to] of [[first, from], [first, from + stride], [last, last + stride], [last, last + 2 * stride]]) {
      values.copyWithin(to, row, row + stride);
    }
  }
}

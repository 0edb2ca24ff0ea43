/**
 * What the inner loops of method pyramid share: arrays, and where things are in them.
 *
 * P holds planes of stride s (see Planes), p is the place of a row's first parent. What is known of the rows that lanes are at is in
 * ROWS: for each kind of number four rows of ROW, one a lane, with a zero on each side; `row` is where the lane's begins in each kind.
 *
 * Engines embed numbers, and addresses and lengths of arrays, that functions find around them, as long as there is one of each function: that
 * leaves registers for numbers, of which there are many.
 */

import { makePairKernels } from "./pairs.js";
import { makeRowKernels } from "./rows.js";

/** Returns arrays, P of `size` samples, tables for so many contexts, and functions that work on them. */
export function makeKernels(size, contexts, rareContexts) {
  const ROW = 4104; // a tile has at most 4096 columns
  const KIND = 4 * ROW + 400; // not a multiple of 4 kB, so that kinds do not meet in caches
  // Of the row above: differences and residuals by component, magnitudes (luma | chroma << 12), and those of the row before that.
  const D = 0;
  const R = 3 * KIND;
  const ABOVE = 6 * KIND;
  // Of the row: places of its vectors, sums of taps by component, activity by group, then that of both, luma | chroma << 16.
  const CODES = 8 * KIND;
  const SUMS = 9 * KIND;
  const ACTIVITY = 12 * KIND;
  const CHROMA = 13 * KIND;
  const FAR = 8192;
  const END = 32;
  const P = new Int16Array(size);
  const ROWS = new Int32Array(14 * KIND);
  // Of each lane, four numbers apart: rANS state, next word, state of the trellis, what the pair to the left adds to activities; from END
  // on where lanes end. This array and NEXT are longer than they need be, since engines keep short ones where they may be moved.
  const STATE = new Int32Array(64);
  const NEXT = new Uint8Array(128); // states of the trellis by state and branch
  const CLASSES = new Uint16Array(2 * 8192); // what the classes of luma, then of chroma, add to a context, by activity
  // By context and eight slots: the first one's symbol, 255 where a context's are not yet known; by context and symbol: frequency << 12 | start.
  // They are filled when first needed.
  const SYMBOLS = new Uint8Array(contexts << 9);
  const RANGES = new Int32Array(contexts << 8);
  const RARE = new Uint16Array(rareContexts << 9);
  const RARE_RANGES = new Int32Array(rareContexts << 9);
  // By codebook and entry: branch << 30 | number of sign bits << 14 | what it adds to activities to the right, luma | chroma << 16.
  const SHAPES = new Int32Array(2 << 9);
  // By codebook, entry and sign bits, then, from FAR on, by place in rows: three components, magnitudes of luma | chroma << 12.
  const VECTORS = new Int32Array(4 * (FAR + 4 * ROW));

  const shared = {
    ROW, KIND, D, R, ABOVE, CODES, SUMS, ACTIVITY, CHROMA, FAR, END, P, ROWS, STATE, NEXT, CLASSES, SYMBOLS, RANGES, RARE, RARE_RANGES, SHAPES, VECTORS,
  };
  return { ...shared, ...makeRowKernels(shared), ...makePairKernels(shared) };
}

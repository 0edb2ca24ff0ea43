/** The model of method pyramid (SPEC.md 5.2). */

import { latin, viewOf } from "./bytes.js";
import { need } from "./errors.js";
import { inflate } from "./inflate.js";

export const LEVELS = 10;
export const NEXT = {
  1: [0, 0],
  8: [0, 2, 7, 5, 1, 3, 6, 4, 2, 0, 5, 7, 3, 1, 4, 6],
  16: [0, 2, 11, 9, 1, 3, 10, 8, 2, 0, 9, 11, 3, 1, 8, 10, 4, 6, 15, 13, 5, 7, 14, 12, 6, 4, 13, 15, 7, 5, 12, 14],
};
const KINDS = [[1, Uint8Array], [2, Uint16Array], [2, Int16Array], [4, Uint32Array]];

export function parsePyramid(payload) {
  need(payload.length >= 9 && latin(payload.subarray(0, 4)) === "RNPY", "section PYRA does not begin with RNPY");
  need(payload[4] === 2, `section PYRA is of version ${payload[4]}; this decoder reads version 2`);
  const length = viewOf(payload).getUint32(5, true);
  need(length <= 2 ** 24, "section PYRA is larger than 2^24 bytes");
  const body = inflate(payload.subarray(9), length);
  need(body.length === length, "section PYRA has another length than it says");
  const view = viewOf(body);
  let at = 0;
  const take = (bytes) => {
    at += bytes;
    need(at <= length, "section PYRA ends early");
    return at - bytes;
  };
  const array = (kind, sides) => {
    need(body[take(1)] === kind, "section PYRA has an array of another kind than due");
    const shape = Array.from({ length: body[take(1)] }, () => view.getUint32(take(4), true));
    need(shape.length === sides.length && shape.every((n, i) => sides[i] < 0 || n === sides[i]), "section PYRA has an array of another shape than due");
    const size = shape.reduce((product, n) => product * n, 1);
    const [bytes, Type] = KINDS[kind];
    const start = take(size * bytes);
    const values = new Type(size);
    for (let b = 0; b < bytes; b++) for (let i = 0; i < size; i++) values[i] |= body[start + b * size + i] << (8 * b);
    return { values, shape };
  };
  const bandEdges = array(3, [-1]).values;
  const bands = bandEdges.length + 1;
  const parts = [1, 3].map((channels) => {
    const lumaTaps = array(2, [bands, LEVELS, 15]).values;
    const chromaTaps = array(2, [bands, LEVELS, 2, 7]).values;
    const activity = array(1, [bands, LEVELS, 2, 12]).values;
    const edges = [array(1, [-1]).values, array(1, [-1]).values];
    checkTaps(lumaTaps, 15, "section PYRA");
    checkTaps(chromaTaps, 7, "section PYRA");
    need(activity.every((weight) => weight <= 16384), "section PYRA has a weight beyond its limit");
    for (const list of edges) need(list.length < 64 && list.every((edge, i) => edge > (i ? list[i - 1] : 0)), "section PYRA has wrong edges");
    const [ny, nc] = [edges[0].length + 1, edges[1].length + 1];
    // What each class of a group adds to a context.
    const classOf = edges.map((list, group) => {
      const table = new Uint16Array(4096);
      for (const edge of list) for (let a = edge; a < 4096; a++) table[a] += group ? 1 : nc;
      return table;
    });
    const quantisers = [1, 2].map((books) => {
      const orbits = array(0, [books, -1, 3]);
      const entries = orbits.shape[1];
      need(entries >= 1 && entries < 512, "section PYRA has a codebook of a wrong size");
      const first = Math.min(entries, 255);
      const magnitudes = array(2, [books, entries, 3]).values;
      need(orbits.values.every((k, i) => (k === 0) === (magnitudes[i] === 0) && magnitudes[i] >= 0 && magnitudes[i] < 2048
        && (k === 0 || i % (3 * entries) > 2)), "section PYRA has a wrong codebook");
      const common = array(1, [books, ny * nc, first + 1, bands]).values;
      const rare = array(1, [books, ny * 5 + 5, entries + 1, bands]).values;
      checkFrequencies(common, first + 1, bands);
      checkFrequencies(rare, entries + 1, bands);
      return { books, entries, first, orbits: orbits.values, magnitudes, common, rare, bands: [] };
    });
    return { channels, bandEdges, bands, lumaTaps, chromaTaps, activity, ny, nc, classOf, quantisers };
  });
  need(at === length, "section PYRA goes on after its end");
  return parts;
}

export function checkTaps(taps, length, name) {
  for (let at = 0; at < taps.length; at += length) {
    let sum = 0;
    for (let i = at; i < at + length; i++) sum += Math.abs(taps[i]);
    need(sum <= 16383, `a filter of ${name} is beyond its limit`);
  }
}

function checkFrequencies(values, symbols, bands) {
  const sums = new Int32Array(bands);
  for (let at = 0; at < values.length; at += symbols * bands) {
    sums.fill(0);
    for (let i = 0; i < symbols * bands; i++) sums[i % bands] += values[at + i];
    for (let band = 0; band < bands; band++) {
      need(sums[band] === 4096 && values[at + (symbols - 1) * bands + band] > 0, "section PYRA has a table that does not sum to 4096");
    }
  }
}

/** Tables of a quantiser in one band; those of a context are made when it is first met. */
export class Tables {
  constructor({ books, entries, first, orbits, magnitudes, common, rare, contexts, rareContexts, stride, band, ny, nc }) {
    Object.assign(this, { entries, first, common, rare, contexts, rareContexts, stride, band });
    this.symbols = new Uint8Array((books * contexts) << 12); // by context and slot
    this.ranges = new Int32Array((books * contexts) << 8); // by context and symbol: frequency << 12 | start
    this.rareTables = new Array(books * rareContexts);
    // The same of what escapes from common symbols lead to, by book and luma class; no range after an escape.
    this.share = Math.ceil(65536 / nc); // luma class from its part of a context
    this.rareSymbols = new Uint16Array((books * ny) << 12);
    this.rareRanges = new Int32Array((books * ny) << 9);
    for (let row = 0; row < books * ny; row++) {
      const { slots, starts } = this.rareContext(Math.floor(row / ny), 4 * ny + (row % ny));
      this.rareSymbols.set(slots, row << 12);
      for (let s = 0; s < entries; s++) this.rareRanges[(row << 9) | s] = ((starts[s + 1] - starts[s]) << 12) | starts[s];
    }
    this.shapes = new Int32Array(books << 9); // by book and entry: luma, chroma magnitude | branch | number of sign bits
    this.vectors = new Int16Array(books << 14); // by book, entry and sign bits: three components and a gap
    for (let book = 0; book < books; book++) {
      for (let s = 0; s < entries; s++) {
        const k = orbits.subarray((book * entries + s) * 3, (book * entries + s + 1) * 3);
        const m = magnitudes.subarray((book * entries + s) * 3, (book * entries + s + 1) * 3);
        const signs = (k[0] > 0) + (k[1] > 0) + (k[2] > 0);
        const branch = (((k[0] + 1) >> 1) + k[1] + k[2]) & 1;
        this.shapes[(book << 9) | s] = (m[0] >> 2) | (((m[1] + m[2]) >> 2) << 12) | (branch << 24) | (signs << 25);
        for (let bits = 0; bits < 1 << signs; bits++) {
          for (let c = 0, bit = 0; c < 3; c++) {
            const negative = k[c] > 0 && (bits >> bit++) & 1;
            this.vectors[(((book << 12) | (s << 3) | bits) << 2) + c] = negative ? -m[c] : m[c];
          }
        }
      }
    }
  }

  /** Fill the table of a context of all books' common symbols. */
  fill(context) {
    const { common, stride, band, first } = this;
    let at = context << 12;
    for (let s = 0, start = 0; s <= first; s++) {
      const f = common[(context * (first + 1) + s) * stride + band];
      this.ranges[(context << 8) | s] = (f << 12) | start;
      start += f;
      for (const end = (context << 12) + start; at < end; at++) this.symbols[at] = s;
    }
  }

  /** Symbols by slot, and running sums of the frequencies, of a context of the rare symbols. */
  rareContext(book, context) {
    const row = book * this.rareContexts + context;
    if (this.rareTables[row]) return this.rareTables[row];
    const starts = new Int32Array(this.entries + 2);
    const slots = new Uint16Array(4096);
    for (let s = 0; s <= this.entries; s++) {
      starts[s + 1] = starts[s] + this.rare[(row * (this.entries + 1) + s) * this.stride + this.band];
      slots.fill(s, starts[s], starts[s + 1]);
    }
    this.rareTables[row] = { slots, starts };
    return this.rareTables[row];
  }
}

/** The model of method pyramid (SPEC.md 5.2). */

import { latin, viewOf } from "./bytes.js";
import { need } from "./errors.js";
import { inflate } from "./inflate.js";
import { leftPart } from "./pairs.js";

export const LEVELS = 14;
export const NEXT = {
  1: [0, 0],
  8: [0, 2, 7, 5, 1, 3, 6, 4, 2, 0, 5, 7, 3, 1, 4, 6],
  16: [0, 2, 11, 9, 1, 3, 10, 8, 2, 0, 9, 11, 3, 1, 8, 10, 4, 6, 15, 13, 5, 7, 14, 12, 6, 4, 13, 15, 7, 5, 12, 14],
};
const KINDS = [[1, Uint8Array], [2, Uint16Array], [2, Int16Array], [4, Uint32Array]];

/** Returns the parts that tiles choose from: those of grey files, then those of RGB, the one for noisy tiles last. */
export function parsePyramid(payload) {
  need(payload.length >= 9 && latin(payload.subarray(0, 4)) === "RNPY", "section PYRA does not begin with RNPY");
  need(payload[4] === 4, `section PYRA is of version ${payload[4]}; this decoder reads version 4`);
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
  const tables = (hasScalar) => {
    const lumaTaps = array(2, [bands, LEVELS, 15]).values;
    const chromaTaps = array(2, [bands, LEVELS, 2, 7]).values;
    const activity = array(1, [bands, LEVELS, 2, 12]).values;
    const edges = [array(1, [-1]).values, array(1, [-1]).values];
    checkTaps(lumaTaps, 15, "section PYRA");
    checkTaps(chromaTaps, 7, "section PYRA");
    need(activity.every((weight) => weight <= 16384), "section PYRA has a weight beyond its limit");
    for (const list of edges) need(list.length < 64 && list.every((edge, i) => edge > (i ? list[i - 1] : 0)), "section PYRA has wrong edges");
    const [ny, nc] = [edges[0].length + 1, edges[1].length + 1];
    // What the classes of luma, then of chroma, add to a context, by activity.
    const classes = new Uint16Array(2 * 8192);
    edges.forEach((list, group) => list.forEach((edge) => {
      for (let a = edge; a < 8192; a++) classes[(group << 13) + a] += group ? 1 : nc;
    }));
    const quantisers = (hasScalar ? [1, 2] : [2]).map((books) => {
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
    return { bandEdges, bands, lumaTaps, chromaTaps, activity, ny, nc, classes, quantisers };
  };
  const [grey, rgb, noisy] = [true, true, false].map(tables);
  need(at === length, "section PYRA goes on after its end");
  return [[grey], [rgb, noisy]];
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

/** A quantiser in one band. */
export class Tables {
  constructor(quantiser, { ny, nc, bands, classes }, band) {
    const { books, entries, orbits, magnitudes } = quantiser;
    Object.assign(this, quantiser, { ny, nc, classes, stride: bands, band, contexts: ny * nc, rareContexts: ny * 5 + 5 });
    this.shapes = new Int32Array(2 << 9); // as in kernels.js
    this.vectors = new Int32Array(4 << 13);
    for (let book = 0; book < books; book++) {
      for (let s = 0; s < entries; s++) {
        const k = orbits.subarray((book * entries + s) * 3, (book * entries + s + 1) * 3);
        const m = magnitudes.subarray((book * entries + s) * 3, (book * entries + s + 1) * 3);
        const signs = (k[0] > 0) + (k[1] > 0) + (k[2] > 0);
        const branch = (((k[0] + 1) >> 1) + k[1] + k[2]) & 1;
        this.shapes[(book << 9) | s] = (branch << 30) | (signs << 14);
        for (let bits = 0; bits < 1 << signs; bits++) {
          const at = ((book << 12) | (s << 3) | bits) << 2;
          for (let c = 0, bit = 0; c < 3; c++) {
            const negative = k[c] > 0 && (bits >> bit++) & 1;
            this.vectors[at + c] = negative ? -m[c] : m[c];
          }
          this.vectors[at + 3] = (m[0] >> 2) | (((m[1] + m[2]) >> 2) << 12);
        }
      }
    }
  }

  /** Those of a part, a band and a number of states; they are made once. */
  static of(part, band, states) {
    const quantiser = part.quantisers.find(({ books }) => books === (states === 1 ? 1 : 2));
    return (quantiser.bands[band] ??= new Tables(quantiser, part, band));
  }

  /** Put what does not change from tile to tile into the kernels' arrays. */
  install({ SHAPES, VECTORS, SYMBOLS, RANGES, RARE_RANGES, CLASSES }) {
    SHAPES.set(this.shapes);
    VECTORS.set(this.vectors);
    SYMBOLS.fill(255);
    RANGES.fill(0);
    RARE_RANGES.fill(0);
    CLASSES.set(this.classes);
  }

  /** Note what entries add to activities with weights of magnitudes. */
  weigh({ SHAPES, VECTORS }, weights) {
    for (let entry = 0; entry < SHAPES.length; entry++) {
      SHAPES[entry] = (SHAPES[entry] & 0x4000c000) | leftPart(VECTORS[(entry << 5) | 3], weights);
    }
  }

  /** Fill the table of a context of all books' common symbols. */
  fill(context, symbols, ranges) {
    fillTable(this.common, this, context, this.first + 1, symbols, ranges, 8);
  }

  /** The same of rare symbols. */
  fillRare(context, symbols, ranges) {
    fillTable(this.rare, this, context, this.entries + 1, symbols, ranges, 9);
  }
}

function fillTable(frequencies, { stride, band }, context, count, symbols, ranges, bits) {
  for (let s = 0, start = 0; s < count; s++) {
    const f = frequencies[(context * count + s) * stride + band];
    ranges[(context << bits) | s] = (f << 12) | start;
    symbols.fill(s, (context << 9) + ((start + 7) >> 3), (context << 9) + ((start + f + 7) >> 3));
    start += f;
  }
}

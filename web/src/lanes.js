/** The lanes of a tile of method pyramid: rANS, and the pairs that are coded with it (SPEC.md 5.4 and 5.5). */

import { clip } from "./bytes.js";
import { TruncatedError, need } from "./errors.js";
import { readPairs } from "./kernels.js";

// What is kept of each lane, eight numbers apart: rANS state, next word, state of the trellis, magnitudes of the pair to the left.
const [STATE, AT, TRELLIS, LEFT, CONTEXT] = [0, 1, 2, 3, 5];

const ends = () => {
  throw new TruncatedError("a lane of a tile ends early");
};

export class Lanes {
  /** `lengths` in words, of the lanes that `data` holds one after the other. */
  constructor(data, lengths, { tables, next, part }) {
    this.tables = tables;
    this.next = next;
    this.part = part;
    const count = data.length >> 1;
    this.words = new Uint16Array(count + 1); // readRows looks one word ahead
    for (let i = 0; i < count; i++) this.words[i] = data[2 * i] | (data[2 * i + 1] << 8);
    this.count = lengths.length;
    this.state = new Int32Array(32);
    this.end = new Int32Array(4);
    this.v = new Int32Array(3);
    let at = 0;
    lengths.forEach((length, lane) => {
      const state = this.words[at] * 65536 + this.words[at + 1];
      need(state >= 2 ** 15 && state < 2 ** 31, "a lane of a tile starts in an impossible state");
      this.state[8 * lane + STATE] = state;
      this.state[8 * lane + AT] = at + 2;
      at += length;
      this.end[lane] = at;
    });
  }

  /** Check that all has been read. */
  finish() {
    for (let lane = 0; lane < this.count; lane++) {
      need(this.state[8 * lane + STATE] === 32768 && this.state[8 * lane + AT] === this.end[lane], "a lane of a tile does not end where it should");
    }
  }

  /** Read a row of n pairs in each of the first lanes: see readPairs for what the arrays are. */
  readRows(lanes, n, stride, activity, weights, limit, v, magnitudes) {
    const { tables, part, state, v: rest } = this;
    const last = lanes - 1;
    for (let lane = 0; lane < lanes; lane++) state[8 * lane + LEFT] = 0;
    let at = 0; // 4 * pair + lane
    for (;;) {
      at = readPairs(at, last, n, stride, activity[0], activity[1], weights[0], weights[1], part.classOf[0], part.classOf[1], tables.contexts, tables.share, part.ny,
        tables.first, tables.symbols, tables.ranges, tables.rareSymbols, tables.rareRanges, tables.shapes, tables.vectors, this.next, this.words, state, v[0], v[1], v[2], magnitudes);
      if (at < 0) break;
      const lane = at & 3;
      const own = 8 * lane;
      const context = state[CONTEXT];
      if (tables.ranges[(context << 8) | tables.first] === 0) {
        tables.fill(context);
        continue;
      }
      const i = (at >> 2) + lane * stride;
      const t = state[own + TRELLIS];
      const inBook = context - (t & 1) * tables.contexts;
      const branch = this.escape(lane, t & 1, Math.floor(inBook / part.nc), limit);
      state[own + TRELLIS] = this.next[2 * t + branch];
      v[0][i] = rest[0];
      v[1][i] = rest[1];
      v[2][i] = rest[2];
      const chroma = part.channels === 1 ? 0 : Math.min((Math.abs(rest[1]) + Math.abs(rest[2])) >> 2, 4095);
      magnitudes[i + 1] = state[own + LEFT] = Math.min(Math.abs(rest[0]) >> 2, 4095) | (chroma << 12);
      at += 4;
    }
    for (let lane = 0; lane < lanes; lane++) if (state[8 * lane + AT] > this.end[lane]) ends();
  }

  /** Read the rest of a pair that began with an escape into `v`; returns its branch. */
  escape(lane, book, lumaClass, limit) {
    const { part: { ny }, v } = this;
    v.fill(0);
    let branch = this.add(lane, book, 4 * ny + lumaClass);
    if (branch >= 0) return branch;
    let z = 1;
    while (z < 7 && (branch = this.add(lane, 0, ny * (Math.min(z, 4) - 1) + lumaClass)) < 0) z++;
    if (z === 7) {
      for (let c = 0; c < 3; c++) {
        let number = 0;
        for (let i = 0; i < 3; i++) {
          number = (number << 8) | (this.state[8 * lane + STATE] & 255);
          this.consume(lane, 8);
        }
        v[c] = clip(((number << 8) >> 8) * 64, -limit, limit);
      }
      return 0;
    }
    for (let c = 0; c < 3; c++) v[c] = clip(v[c], -limit, limit);
    while (z > 0) {
      z--;
      for (let c = 0; c < 3; c++) v[c] *= 4;
      branch = Math.max(0, this.add(lane, z === 0 ? book : 0, 5 * ny + Math.min(z, 4)));
      for (let c = 0; c < 3; c++) v[c] = clip(v[c], -limit, limit);
    }
    return branch;
  }

  /** Read a rare symbol, add its vector to `v` and return its branch; -1 after an escape. */
  add(lane, book, context) {
    const { tables, v } = this;
    const { slots, starts } = tables.rareContext(book, context);
    const state = this.state[8 * lane + STATE];
    const slot = state & 4095;
    const symbol = slots[slot];
    this.state[8 * lane + STATE] = Math.imul(starts[symbol + 1] - starts[symbol], state >> 12) + slot - starts[symbol];
    if (symbol === tables.entries) {
      this.consume(lane, 0);
      return -1;
    }
    const shape = tables.shapes[(book << 9) | symbol];
    const signs = shape >> 25;
    const vector = ((book << 12) | (symbol << 3) | (this.state[8 * lane + STATE] & ((1 << signs) - 1))) << 2;
    this.consume(lane, signs);
    for (let c = 0; c < 3; c++) v[c] += tables.vectors[vector + c];
    return (shape >> 24) & 1;
  }

  /** Drop bits of a lane's state and refill it. */
  consume(lane, bits) {
    const own = 8 * lane;
    let state = this.state[own + STATE] >> bits;
    if (state < 32768) {
      if (this.state[own + AT] >= this.end[lane]) ends();
      state = (state << 16) | this.words[this.state[own + AT]++];
    }
    this.state[own + STATE] = state;
  }
}

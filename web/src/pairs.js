/** The inner loops of parsing (SPEC.md 5.4 and 5.5); see kernels.js for the arrays. */

import { TruncatedError } from "./errors.js";

/** What magnitudes add to the activities to the right, luma | chroma << 16. */
export function leftPart(magnitudes, weights) {
  return Math.min(((magnitudes & 4095) * weights[0]) >> 8, 16383) | (Math.min(((magnitudes >> 12) * weights[1]) >> 8, 16383) << 16);
}

export function ends() {
  throw new TruncatedError("a lane of a tile ends early");
}

export function makePairKernels({ ROW, CODES, ACTIVITY, FAR, END, ROWS, STATE, NEXT, CLASSES, SYMBOLS, RANGES, RARE, RARE_RANGES, SHAPES, VECTORS }) {
  const { imul } = Math;

  /** Read n pairs in each of the first lanes. Words past a lane's end are noticed later. */
  function readPairs(lanes, n, words, tables, limit, weights) {
    for (let lane = 0; lane < lanes; lane += 2) {
      const i = lane * ROW;
      if (lane + 1 < lanes) readTwo(lane, i, i + n, words, tables, limit, weights);
      else readOne(lane, i, i + n, words, tables, limit, weights);
    }
  }

  /** Read pairs from number i to `end` of a lane. Nothing is called in the inner loop, so that its numbers stay in registers. */
  function readOne(lane, i0, end, words, tables, limit, weights) {
    i0 |= 0;
    end |= 0;
    const contexts = tables.contexts | 0;
    const first = tables.first | 0;
    const own = lane << 2;
    for (;;) {
      let old0 = STATE[own], at0 = STATE[own | 1], t0 = STATE[own | 2], left0 = STATE[own | 3];
      let activities = 0, context = 0, slot = 0, symbol = 0, range = 0, rans = 0, entry = 0, shape = 0, signs = 0, rest = 0, short = 0;
      let stop = -1;
      while (i0 < end) {
        activities = (ROWS[(i0 + ACTIVITY) | 0] + left0) | 0;
        context = ((contexts & -(t0 & 1)) + CLASSES[(activities & 0xffff) >> 2] + CLASSES[(activities >>> 18) | 8192]) | 0;
        slot = old0 & 4095;
        symbol = SYMBOLS[(context << 9) | (slot >> 3)];
        range = RANGES[(context << 8) | symbol];
        while (symbol < first && slot - (range & 4095) >= range >>> 12) range = RANGES[(context << 8) | ++symbol];
        if (symbol >= first) {
          stop = 0;
          break;
        }
        rans = (imul(range >>> 12, old0 >> 12) + slot - (range & 4095)) | 0;
        entry = ((t0 & 1) << 9) | symbol;
        shape = SHAPES[entry];
        signs = (shape >> 14) & 3;
        rest = rans >> signs;
        short = (rest - 32768) >> 31;
        old0 = (rest << (short & 16)) | (words[at0] & short);
        at0 = (at0 - short) | 0;
        t0 = NEXT[((t0 << 1) | (shape >> 30)) & 31];
        left0 = shape & 0x3fff3fff;
        ROWS[(i0 + CODES) | 0] = (entry << 3) | (rans & ~(-1 << signs));
        i0 = (i0 + 1) | 0;
      }
      STATE[own] = old0;
      STATE[own | 1] = at0;
      STATE[own | 2] = t0;
      STATE[own | 3] = left0;
      if (stop < 0) return;
      i0 = (i0 + readRest(lane, i0, context, words, tables, limit, weights)) | 0;
    }
  }

  /** The same of a lane and the next one in turns, so that the processor works on both at once. */
  function readTwo(lane, i0, end, words, tables, limit, weights) {
    i0 |= 0;
    end |= 0;
    const contexts = tables.contexts | 0;
    const first = tables.first | 0;
    const own = lane << 2;
    const next = (own + 4) | 0;
    let i1 = (i0 + ROW) | 0;
    for (;;) {
      let old0 = STATE[own], at0 = STATE[own | 1], t0 = STATE[own | 2], left0 = STATE[own | 3];
      let old1 = STATE[next], at1 = STATE[next | 1], t1 = STATE[next | 2], left1 = STATE[next | 3];
      let activities = 0, context = 0, slot = 0, symbol = 0, range = 0, rans = 0, entry = 0, shape = 0, signs = 0, rest = 0, short = 0;
      let stop = -1;
      while (i0 < end && i1 < end + ROW) {
        activities = (ROWS[(i0 + ACTIVITY) | 0] + left0) | 0;
        context = ((contexts & -(t0 & 1)) + CLASSES[(activities & 0xffff) >> 2] + CLASSES[(activities >>> 18) | 8192]) | 0;
        slot = old0 & 4095;
        symbol = SYMBOLS[(context << 9) | (slot >> 3)];
        range = RANGES[(context << 8) | symbol];
        while (symbol < first && slot - (range & 4095) >= range >>> 12) range = RANGES[(context << 8) | ++symbol];
        if (symbol >= first) {
          stop = 0;
          break;
        }
        rans = (imul(range >>> 12, old0 >> 12) + slot - (range & 4095)) | 0;
        entry = ((t0 & 1) << 9) | symbol;
        shape = SHAPES[entry];
        signs = (shape >> 14) & 3;
        rest = rans >> signs;
        short = (rest - 32768) >> 31;
        old0 = (rest << (short & 16)) | (words[at0] & short);
        at0 = (at0 - short) | 0;
        t0 = NEXT[((t0 << 1) | (shape >> 30)) & 31];
        left0 = shape & 0x3fff3fff;
        ROWS[(i0 + CODES) | 0] = (entry << 3) | (rans & ~(-1 << signs));
        i0 = (i0 + 1) | 0;
        activities = (ROWS[(i1 + ACTIVITY) | 0] + left1) | 0;
        context = ((contexts & -(t1 & 1)) + CLASSES[(activities & 0xffff) >> 2] + CLASSES[(activities >>> 18) | 8192]) | 0;
        slot = old1 & 4095;
        symbol = SYMBOLS[(context << 9) | (slot >> 3)];
        range = RANGES[(context << 8) | symbol];
        while (symbol < first && slot - (range & 4095) >= range >>> 12) range = RANGES[(context << 8) | ++symbol];
        if (symbol >= first) {
          stop = 1;
          break;
        }
        rans = (imul(range >>> 12, old1 >> 12) + slot - (range & 4095)) | 0;
        entry = ((t1 & 1) << 9) | symbol;
        shape = SHAPES[entry];
        signs = (shape >> 14) & 3;
        rest = rans >> signs;
        short = (rest - 32768) >> 31;
        old1 = (rest << (short & 16)) | (words[at1] & short);
        at1 = (at1 - short) | 0;
        t1 = NEXT[((t1 << 1) | (shape >> 30)) & 31];
        left1 = shape & 0x3fff3fff;
        ROWS[(i1 + CODES) | 0] = (entry << 3) | (rans & ~(-1 << signs));
        i1 = (i1 + 1) | 0;
      }
      STATE[own] = old0;
      STATE[own | 1] = at0;
      STATE[own | 2] = t0;
      STATE[own | 3] = left0;
      STATE[next] = old1;
      STATE[next | 1] = at1;
      STATE[next | 2] = t1;
      STATE[next | 3] = left1;
      if (stop < 0) break;
      if (stop === 0) i0 = (i0 + readRest(lane, i0, context, words, tables, limit, weights)) | 0;
      else i1 = (i1 + readRest(lane + 1, i1, context, words, tables, limit, weights)) | 0;
    }
    readOne(lane, i0, end, words, tables, limit, weights);
    readOne(lane + 1, i1, end + ROW, words, tables, limit, weights);
  }

  /** Drop bits of a lane's state and refill it. */
  function refill(lane, words, bits) {
    const state = STATE[lane << 2] >> bits;
    if (state >= 32768) STATE[lane << 2] = state;
    else {
      if (STATE[(lane << 2) | 1] >= STATE[END + lane]) ends();
      STATE[lane << 2] = (state << 16) | words[STATE[(lane << 2) | 1]++];
    }
  }

  /** Read a rare symbol of a codebook; returns the place of its vector. */
  function readRare(lane, book, context, words, tables) {
    const row = (imul(book, tables.rareContexts) + context) | 0;
    if (RARE_RANGES[(row << 9) | tables.entries] === 0) tables.fillRare(row, RARE, RARE_RANGES);
    const state = STATE[lane << 2];
    const slot = state & 4095;
    let symbol = RARE[(row << 9) | (slot >> 3)];
    let range = RARE_RANGES[(row << 9) | symbol];
    while (slot - (range & 4095) >= range >>> 12) range = RARE_RANGES[(row << 9) | ++symbol];
    const rans = (imul(range >>> 12, state >> 12) + slot - (range & 4095)) | 0;
    const signs = (SHAPES[(book << 9) | symbol] >> 14) & 3;
    STATE[lane << 2] = rans;
    refill(lane, words, signs);
    return (book << 12) | (symbol << 3) | (rans & ~(-1 << signs));
  }

  /**
   * Read pair number i of ROWS, which is not among its context's common symbols: returns 1; or fill the context's table, if that had not
   * been done: returns 0.
   */
  function readRest(lane, i, context, words, tables, limit, weights) {
    const { ny, entries, first } = tables;
    const range = RANGES[(context << 8) | first];
    if (range === 0) {
      tables.fill(context, SYMBOLS, RANGES);
      return 0;
    }
    const state = STATE[lane << 2];
    const t = STATE[(lane << 2) | 2];
    const book = t & 1;
    const luma = Math.floor((context - book * tables.contexts) / tables.nc);
    STATE[lane << 2] = (imul(range >>> 12, state >> 12) + (state & 4095) - (range & 4095)) | 0;
    refill(lane, words, 0);
    const isEscape = (place) => ((place >> 3) & 511) === entries;
    const bounded = (v) => (v > limit ? limit : v < -limit ? -limit : v);
    let code = readRare(lane, book, 4 * ny + luma, words, tables);
    let branch = SHAPES[code >> 3] >> 30;
    if (isEscape(code)) {
      let z = 0;
      let place = 0;
      do {
        z++;
        if (z < 7) place = readRare(lane, 0, ny * (Math.min(z, 4) - 1) + luma, words, tables);
      } while (z < 7 && isEscape(place));
      const v = [0, 0, 0];
      for (let c = 0; c < 3; c++) {
        if (z < 7) v[c] = bounded(VECTORS[4 * place + c]);
        else {
          let number = 0;
          for (let k = 0; k < 3; k++) {
            number = (number << 8) | (STATE[lane << 2] & 255);
            refill(lane, words, 8);
          }
          v[c] = bounded(((number << 8) >> 8) * 64);
        }
      }
      branch = 0;
      while (z < 7 && z-- > 0) {
        const own = z === 0 ? book : 0;
        place = readRare(lane, own, 5 * ny + Math.min(z, 4), words, tables);
        for (let c = 0; c < 3; c++) v[c] = bounded(4 * v[c] + VECTORS[4 * place + c]);
        branch = SHAPES[place >> 3] >> 30;
      }
      code = FAR + i;
      const [v0, v1, v2] = v;
      VECTORS[4 * code] = v0;
      VECTORS[4 * code + 1] = v1;
      VECTORS[4 * code + 2] = v2;
      VECTORS[4 * code + 3] = Math.min(Math.abs(v0) >> 2, 4095) | (tables.nc === 1 ? 0 : Math.min((Math.abs(v1) + Math.abs(v2)) >> 2, 4095) << 12);
    }
    ROWS[i + CODES] = code;
    STATE[(lane << 2) | 2] = NEXT[2 * t + branch];
    STATE[(lane << 2) | 3] = leftPart(VECTORS[4 * code + 3], weights);
    return 1;
  }

  return { readPairs };
}

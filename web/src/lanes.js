/** The lanes of a tile of method pyramid: rANS (SPEC.md 5.4). */

import { need } from "./errors.js";
import { ends } from "./pairs.js";

export class Lanes {
  /** `lengths` in words, of the lanes that `data` holds one after the other. */
  constructor(data, lengths, { kernels }) {
    this.kernels = kernels;
    const { STATE, END } = kernels;
    const count = data.length >> 1;
    this.words = new Uint16Array(count + 1); // readPairs looks one word ahead
    for (let i = 0; i < count; i++) this.words[i] = data[2 * i] | (data[2 * i + 1] << 8);
    this.count = lengths.length;
    let at = 0;
    lengths.forEach((length, lane) => {
      const state = this.words[at] * 65536 + this.words[at + 1];
      need(state >= 2 ** 15 && state < 2 ** 31, "a lane of a tile starts in an impossible state");
      STATE[4 * lane] = state;
      STATE[4 * lane + 1] = at + 2;
      STATE[4 * lane + 2] = 0;
      at += length;
      STATE[END + lane] = at;
    });
  }

  /** Check that all has been read. */
  finish() {
    const { STATE, END } = this.kernels;
    for (let lane = 0; lane < this.count; lane++) {
      need(STATE[4 * lane] === 32768 && STATE[4 * lane + 1] === STATE[END + lane], "a lane of a tile does not end where it should");
    }
  }

  /** Read a row of n pairs in each of the first lanes; `weights` are those of the left neighbours' magnitudes, of both groups. */
  readRows(lanes, n, tables, limit, weights) {
    const { STATE, END, readPairs } = this.kernels;
    for (let lane = 0; lane < lanes; lane++) STATE[4 * lane + 3] = 0;
    readPairs(lanes, n, this.words, tables, limit, weights);
    for (let lane = 0; lane < lanes; lane++) if (STATE[4 * lane + 1] > STATE[END + lane]) ends();
  }
}

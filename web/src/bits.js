/** The stream of bits of a tile (SPEC.md 5.3). */

import { TruncatedError, need } from "./errors.js";

/** A stream of bits, highest first in each byte. */
export class Bits {
  constructor(data) {
    this.data = data;
    this.at = 0;
  }

  bit() {
    const byte = this.at >> 3;
    need(byte < this.data.length, "a tile's parameters and base plane end early", TruncatedError);
    return (this.data[byte] >> (7 - (this.at++ & 7))) & 1;
  }

  bits(n) {
    let value = 0;
    while (n-- > 0) value = (value << 1) | this.bit();
    return value;
  }

  folded(n) {
    const v = this.bits(n);
    return v & 1 ? -((v + 1) >> 1) : v >> 1;
  }

  /** An adaptive number; `state` holds total and count. */
  adaptive(state) {
    let k = 0;
    while (k < 16 && state.count * 2 ** k < state.total) k++;
    let ones = 0;
    while (ones < 24 && this.bit()) ones++;
    const v = ones === 24 ? this.bits(18) : (ones << k) + this.bits(k);
    state.total += v;
    if (++state.count === 32) {
      state.total >>= 1;
      state.count = 16;
    }
    return v & 1 ? -((v + 1) >> 1) : v >> 1;
  }
}

/**
 * The inner loops of method pyramid (SPEC.md 5.5).
 *
 * P and E are planes of stride s, p is the place of a row's first parent; rows of d, r and magnitudes begin at `row`, after a zero.
 * Neighbours are kept in variables from one column to the next, and sums are truncated (`| 0`), so that engines make plain integer
 * code without checks of overflow; `Math.imul` is not given a shorter name because they would look that up in every turn.
 */

function minmod(a, b) {
  const low = b + ((a - b) & ((a - b) >> 31));
  const high = a + b - low;
  return (low & ~(low >> 31)) | (high & (high >> 31));
}

/** Sums of the taps known before a row is read, and the gradients' part of its activity; halves along x. */
export function lumaAlongX(P, p, n, s, taps, weights, d, r, row, sums, activity) {
  const t0 = taps[0], t1 = taps[1], t2 = taps[2], t3 = taps[3], t4 = taps[4], t5 = taps[5], t6 = taps[6];
  const t7 = taps[7], t8 = taps[8], t9 = taps[9], t10 = taps[10], t11 = taps[11], t12 = taps[12], t13 = taps[13];
  const w0 = weights[0], w1 = weights[1], w2 = weights[2], w3 = weights[3];
  p |= 0;
  n = (n + row) | 0;
  const s2 = (2 * s) | 0;
  // Rows from the second above (a) to the second below (e); slopes `S` at the columns before, here and after.
  let a1 = P[p - s2], a0 = P[p - s2 - 1];
  let e1 = P[p + s2], e0 = P[p + s2 - 1];
  let bl = P[p - s - 1], bm = P[p - s], br = P[p - s + 1], bS0 = P[p - s - 2] - bm, bS1 = bl - br;
  let cl = P[p - 1], cm = P[p], cr = P[p + 1], cS0 = P[p - 2] - cm, cS1 = cl - cr;
  let dl = P[p + s - 1], dm = P[p + s], dr = P[p + s + 1], dS0 = P[p + s - 2] - dm, dS1 = dl - dr;
  let bA = Math.abs(bl - bm), dA = Math.abs(dl - dm);
  let right = cl - cm, rightA = Math.abs(right);
  let ul = 0, um = d[row + 1], rl = 0; // differences and residuals of the row above
  for (let x = row | 0; x < n; x++) {
    const a2 = P[(p - s2 + 1) | 0];
    const e2 = P[(p + s2 + 1) | 0];
    const bn = P[(p - s + 2) | 0];
    const cn = P[(p + 2) | 0];
    const dn = P[(p + s + 2) | 0];
    const bS2 = bm - bn;
    const cS2 = cm - cn;
    const dS2 = dm - dn;
    const ur = d[(x + 2) | 0];
    const rm = r[(x + 1) | 0];
    const left = right;
    right = cm - cr;
    sums[x] = Math.imul(t0, cS1) + Math.imul(t1, cS0 + cS2) + Math.imul(t2, bS1) + Math.imul(t3, dS1)
      + Math.imul(t4, bS0 + bS2 + dS0 + dS2) + Math.imul(t5, a0 - a2 + e0 - e2)
      + Math.imul(t6, minmod(left, right)) + Math.imul(t7, minmod(bl - cm, cm - dr)) + Math.imul(t8, minmod(dl - cm, cm - br))
      + Math.imul(t9, um) + Math.imul(t10, ul) + Math.imul(t11, ur) + Math.imul(t12, rm) + Math.imul(t13, rl) | 0;
    const leftA = rightA;
    rightA = Math.abs(right);
    const bB = Math.abs(bm - br);
    const dB = Math.abs(dm - dr);
    const g0 = leftA + rightA;
    const g1 = bA + bB + dA + dB;
    const g2 = Math.abs(bm - cm) + Math.abs(dm - cm);
    const g3 = Math.abs(left - right);
    activity[x] = (Math.imul(w0, g0 < 32767 ? g0 : 32767) + Math.imul(w1, g1 < 32767 ? g1 : 32767)
      + Math.imul(w2, g2 < 32767 ? g2 : 32767) + Math.imul(w3, g3 < 32767 ? g3 : 32767)) >> 12;
    a0 = a1; a1 = a2;
    e0 = e1; e1 = e2;
    bl = bm; bm = br; br = bn; bS0 = bS1; bS1 = bS2; bA = bB;
    cm = cr; cr = cn; cS0 = cS1; cS1 = cS2;
    dl = dm; dm = dr; dr = dn; dS0 = dS1; dS1 = dS2; dA = dB;
    ul = um; um = ur; rl = rm;
    p = (p + 1) | 0;
  }
}

/** The same where a pass halves along y. */
export function lumaAlongY(P, p, n, s, taps, weights, d, r, row, sums, activity) {
  const t0 = taps[0], t1 = taps[1], t2 = taps[2], t3 = taps[3], t4 = taps[4], t5 = taps[5], t6 = taps[6];
  const t7 = taps[7], t8 = taps[8], t9 = taps[9], t10 = taps[10], t11 = taps[11], t12 = taps[12], t13 = taps[13];
  const w0 = weights[0], w1 = weights[1], w2 = weights[2], w3 = weights[3];
  p |= 0;
  n = (n + row) | 0;
  const s2 = (2 * s) | 0;
  // Rows above (b), here (c) and below (d); slopes over one row (S) and two (T) by column; gradients G along y and V along x.
  let bl = P[p - s - 1], bm = P[p - s], br = P[p - s + 1];
  let dl = P[p + s - 1], dm = P[p + s], dr = P[p + s + 1];
  let cm = P[p], cr = P[p + 1];
  let S0 = P[p - s - 2] - P[p + s - 2], S1 = bl - dl, S2 = bm - dm, S3 = br - dr;
  let T0 = P[p - s2 - 1] - P[p + s2 - 1], T1 = P[p - s2] - P[p + s2];
  const cl = P[p - 1];
  let G0 = Math.abs(bl - cl) + Math.abs(cl - dl), G1 = Math.abs(bm - cm) + Math.abs(cm - dm);
  let V0 = Math.abs(cl - cm);
  let up = bm - cm, down = cm - dm;
  let ul = 0, um = d[row + 1], rl = 0;
  for (let x = row | 0; x < n; x++) {
    const bn = P[(p - s + 2) | 0];
    const dn = P[(p + s + 2) | 0];
    const cn = P[(p + 2) | 0];
    const S4 = bn - dn;
    const T2 = P[(p - s2 + 1) | 0] - P[(p + s2 + 1) | 0];
    const ur = d[(x + 2) | 0];
    const rm = r[(x + 1) | 0];
    sums[x] = Math.imul(t0, S2) + Math.imul(t1, T1) + Math.imul(t2, S1) + Math.imul(t3, S3) + Math.imul(t4, T0 + T2)
      + Math.imul(t5, S0 + S4)
      + Math.imul(t6, minmod(up, down)) + Math.imul(t7, minmod(bl - cm, cm - dr)) + Math.imul(t8, minmod(br - cm, cm - dl))
      + Math.imul(t9, um) + Math.imul(t10, ul) + Math.imul(t11, ur) + Math.imul(t12, rm) + Math.imul(t13, rl) | 0;
    const g3 = Math.abs(up - down);
    up = br - cr;
    down = cr - dr;
    const G2 = Math.abs(up) + Math.abs(down);
    const V1 = Math.abs(cr - cm);
    const g1 = G0 + G2;
    const g2 = V0 + V1;
    activity[x] = (Math.imul(w0, G1 < 32767 ? G1 : 32767) + Math.imul(w1, g1 < 32767 ? g1 : 32767)
      + Math.imul(w2, g2 < 32767 ? g2 : 32767) + Math.imul(w3, g3 < 32767 ? g3 : 32767)) >> 12;
    bl = bm; bm = br; br = bn;
    dl = dm; dm = dr; dr = dn;
    cm = cr; cr = cn;
    S0 = S1; S1 = S2; S2 = S3; S3 = S4;
    T0 = T1; T1 = T2;
    G0 = G1; G1 = G2; V0 = V1;
    ul = um; um = ur; rl = rm;
    p = (p + 1) | 0;
  }
}

/** As lumaAlongX for a chroma component; its activity is added where `keep` is -1, not where it is 0. */
export function chromaAlongX(P, p, n, s, taps, weights, d, r, row, sums, activity, keep) {
  const t0 = taps[0], t1 = taps[1], t2 = taps[2], t3 = taps[3], t4 = taps[4], t5 = taps[5];
  const w0 = weights[0], w1 = weights[1], w2 = weights[2], w3 = weights[3];
  p |= 0;
  n = (n + row) | 0;
  let bm = P[p - s], bD = P[p - s - 1] - bm, bA = Math.abs(bD);
  let cm = P[p], cr = P[p + 1], cS0 = P[p - 2] - cm, cS1 = P[p - 1] - cr, right = P[p - 1] - cm, rightA = Math.abs(right);
  let dm = P[p + s], dD = P[p + s - 1] - dm, dA = Math.abs(dD);
  for (let x = row | 0; x < n; x++) {
    const br = P[(p - s + 1) | 0];
    const dr = P[(p + s + 1) | 0];
    const cn = P[(p + 2) | 0];
    const bE = bm - br;
    const dE = dm - dr;
    const cS2 = cm - cn;
    const left = right;
    right = cm - cr;
    sums[x] = Math.imul(t0, cS1) + Math.imul(t1, cS0 + cS2) + Math.imul(t2, bD + bE + dD + dE) + Math.imul(t3, minmod(left, right))
      + Math.imul(t4, d[(x + 1) | 0]) + Math.imul(t5, r[(x + 1) | 0]) | 0;
    const leftA = rightA;
    rightA = Math.abs(right);
    const bB = Math.abs(bE);
    const dB = Math.abs(dE);
    const g0 = leftA + rightA;
    const g1 = bA + bB + dA + dB;
    const g2 = Math.abs(bm - cm) + Math.abs(dm - cm);
    const g3 = Math.abs(left - right);
    activity[x] = (activity[x] & keep) + ((Math.imul(w0, g0 < 32767 ? g0 : 32767) + Math.imul(w1, g1 < 32767 ? g1 : 32767)
      + Math.imul(w2, g2 < 32767 ? g2 : 32767) + Math.imul(w3, g3 < 32767 ? g3 : 32767)) >> 12);
    bm = br; bD = bE; bA = bB;
    dm = dr; dD = dE; dA = dB;
    cm = cr; cr = cn; cS0 = cS1; cS1 = cS2;
    p = (p + 1) | 0;
  }
}

/** As chromaAlongX where a pass halves along y. */
export function chromaAlongY(P, p, n, s, taps, weights, d, r, row, sums, activity, keep) {
  const t0 = taps[0], t1 = taps[1], t2 = taps[2], t3 = taps[3], t4 = taps[4], t5 = taps[5];
  const w0 = weights[0], w1 = weights[1], w2 = weights[2], w3 = weights[3];
  p |= 0;
  n = (n + row) | 0;
  const s2 = (2 * s) | 0;
  const cl = P[p - 1];
  let cm = P[p];
  let up = P[p - s] - cm, down = cm - P[p + s];
  let S0 = P[p - s - 1] - P[p + s - 1], S1 = P[p - s] - P[p + s];
  let G0 = Math.abs(P[p - s - 1] - cl) + Math.abs(cl - P[p + s - 1]), G1 = Math.abs(up) + Math.abs(down);
  let V0 = Math.abs(cl - cm);
  for (let x = row | 0; x < n; x++) {
    const br = P[(p - s + 1) | 0];
    const dr = P[(p + s + 1) | 0];
    const cr = P[(p + 1) | 0];
    const S2 = br - dr;
    sums[x] = Math.imul(t0, S1) + Math.imul(t1, P[(p - s2) | 0] - P[(p + s2) | 0]) + Math.imul(t2, S0 + S2) + Math.imul(t3, minmod(up, down))
      + Math.imul(t4, d[(x + 1) | 0]) + Math.imul(t5, r[(x + 1) | 0]) | 0;
    const g3 = Math.abs(up - down);
    up = br - cr;
    down = cr - dr;
    const G2 = Math.abs(up) + Math.abs(down);
    const V1 = Math.abs(cr - cm);
    const g1 = G0 + G2;
    const g2 = V0 + V1;
    activity[x] = (activity[x] & keep) + ((Math.imul(w0, G1 < 32767 ? G1 : 32767) + Math.imul(w1, g1 < 32767 ? g1 : 32767)
      + Math.imul(w2, g2 < 32767 ? g2 : 32767) + Math.imul(w3, g3 < 32767 ? g3 : 32767)) >> 12);
    cm = cr;
    S0 = S1; S1 = S2;
    G0 = G1; G1 = G2; V0 = V1;
    p = (p + 1) | 0;
  }
}

/** Add the part of the activities of both groups that comes from energies E, F and magnitudes, luma | chroma << 12. */
export function addEnergies(E, F, p, n, s, weights, others, above, above2, row, activity, activity2) {
  const w4 = weights[4], w5 = weights[5], w6 = weights[6], w7 = weights[7], w8 = weights[8], w10 = weights[10], w11 = weights[11];
  const u4 = others[4], u5 = others[5], u6 = others[6], u7 = others[7], u8 = others[8], u10 = others[10], u11 = others[11];
  p |= 0;
  n = (n + row) | 0;
  let left = E[p - 1], middle = E[p], leftF = F[p - 1], middleF = F[p];
  let ml = 0, cl = 0, mm = above[row + 1] & 4095, cm = above[row + 1] >> 12;
  for (let x = row | 0; x < n; x++) {
    const right = E[(p + 1) | 0];
    const rightF = F[(p + 1) | 0];
    const next = above[(x + 2) | 0];
    const far = above2[(x + 1) | 0];
    const mr = next & 4095;
    const cr = next >> 12;
    activity[x] = activity[x] + ((Math.imul(w4, middle) + Math.imul(w5, E[(p - s) | 0] + E[(p + s) | 0] + left + right) + Math.imul(w6, mm)
      + Math.imul(w7, ml) + Math.imul(w8, mr) + Math.imul(w10, far & 4095) + Math.imul(w11, cm)) >> 8);
    activity2[x] = activity2[x] + ((Math.imul(u4, middleF) + Math.imul(u5, F[(p - s) | 0] + F[(p + s) | 0] + leftF + rightF) + Math.imul(u6, cm)
      + Math.imul(u7, cl) + Math.imul(u8, cr) + Math.imul(u10, far >> 12) + Math.imul(u11, mm)) >> 8);
    left = middle; middle = right;
    leftF = middleF; middleF = rightF;
    ml = mm; mm = mr;
    cl = cm; cm = cr;
    p = (p + 1) | 0;
  }
}

/** Undo the halving of a component in a row; `a` and `b` are the places of the first pair's children in C. */
export function makeChildren(P, p, n, C, a, b, step, size, tap, v, sums, d, r, row) {
  p |= 0;
  a |= 0;
  b |= 0;
  step |= 0;
  size |= 0;
  tap |= 0;
  n = (n + row) | 0;
  let residual = 0;
  for (let x = row | 0; x < n; x++) {
    const tapped = (sums[x] + Math.imul(tap, residual) + 1024) >> 11;
    residual = (Math.imul(v[x], size) + 512) >> 10;
    residual = residual > 65535 ? 65535 : residual < -65535 ? -65535 : residual;
    let difference = (residual + tapped) | 0;
    difference = difference > 65535 ? 65535 : difference < -65535 ? -65535 : difference;
    const first = (P[p] + ((difference + 1) >> 1)) | 0;
    C[a] = first;
    C[b] = (first - difference) | 0;
    d[(x + 1) | 0] = difference;
    r[(x + 1) | 0] = residual;
    p = (p + 1) | 0;
    a = (a + step) | 0;
    b = (b + step) | 0;
  }
}

/** Energies of the children of a row, for both groups. */
export function makeEnergies(E, F, p, n, C, D, a, b, step, m, row) {
  p |= 0;
  a |= 0;
  b |= 0;
  step |= 0;
  n = (n + row) | 0;
  for (let x = row | 0; x < n; x++) {
    const magnitudes = m[(x + 1) | 0];
    C[a] = C[b] = ((magnitudes & 4095) + (E[p] >> 1)) | 0;
    D[a] = D[b] = ((magnitudes >> 12) + (F[p] >> 1)) | 0;
    p = (p + 1) | 0;
    a = (a + step) | 0;
    b = (b + step) | 0;
  }
}

/**
 * Read pairs from number `from`, 4 * column + lane, on, until column `n` is reached (returns -1), or a pair needs more than its common symbol,
 * or a table of a context that is not there yet (returns the number of that pair; its context is in state[5]).
 * Lanes take turns, so that the processor works on all of them at once; nothing is called, as engines then keep what they know of arrays.
 *
 * Rows of lanes are `stride` apart; those of magnitudes m begin with a zero. `state` is that of Lanes.
 */
export function readPairs(
  from, last, n, stride, activity0, activity1, left0, left1, classes0, classes1, contexts, share, rareRows,
  first, symbols, ranges, rare, rareRanges, shapes, vectors, next, words, state, v0, v1, v2, m,
) {
  last |= 0;
  n |= 0;
  stride |= 0;
  left0 |= 0;
  left1 |= 0;
  contexts |= 0;
  share |= 0;
  rareRows |= 0;
  first |= 0;
  let x = from >> 2;
  for (let lane = from & 3; lane <= last; lane++) {
    const own = lane << 3;
    let old = state[own];
    let at = state[own + 1];
    let t = state[own + 2];
    let left = state[own + 3];
    for (let i = (x + Math.imul(lane, stride)) | 0, end = (n + Math.imul(lane, stride)) | 0; i < end; i++) {
      const l0 = Math.imul(left & 4095, left0) >> 8;
      const l1 = Math.imul(left >> 12, left1) >> 8;
      const a0 = (activity0[i] + (l0 < 16383 ? l0 : 16383)) >> 2;
      const a1 = (activity1[i] + (l1 < 16383 ? l1 : 16383)) >> 2;
      const luma = classes0[a0 < 4095 ? a0 : 4095];
      const context = ((contexts & -(t & 1)) + luma + classes1[a1 < 4095 ? a1 : 4095]) | 0;
      let slot = old & 4095;
      let symbol = symbols[(context << 12) | slot];
      let range = ranges[(context << 8) | symbol];
      if (symbol >= first && range !== 0) {
        old = (Math.imul(range >>> 12, old >> 12) + slot - (range & 4095)) | 0;
        if (old < 32768) old = (old << 16) | words[at++];
        slot = old & 4095;
        const row = ((rareRows & -(t & 1)) + (Math.imul(luma, share) >> 16)) | 0;
        symbol = rare[(row << 12) | slot];
        range = rareRanges[(row << 9) | symbol];
      }
      if (range === 0) {
        state[own] = old;
        state[own + 1] = at;
        state[own + 2] = t;
        state[own + 3] = left;
        state[5] = context;
        return ((i - Math.imul(lane, stride)) << 2) | lane;
      }
      const rans = (Math.imul(range >>> 12, old >> 12) + slot - (range & 4095)) | 0;
      const entry = ((t & 1) << 9) | symbol;
      const shape = shapes[entry];
      const signs = shape >> 25;
      const vector = ((entry << 3) | (rans & ((1 << signs) - 1))) << 2;
      const rest = rans >> signs;
      // Without a branch: it could not be predicted. Words past the lane's end are noticed at the row's end.
      const short = (rest - 32768) >> 31;
      old = (rest << (short & 16)) | (words[at] & short);
      at = (at - short) | 0;
      t = next[((t << 1) + ((shape >> 24) & 1)) | 0];
      left = shape & 0xffffff;
      m[(i + 1) | 0] = left;
      v0[i] = vectors[vector];
      v1[i] = vectors[vector + 1];
      v2[i] = vectors[vector + 2];
    }
    state[own] = old;
    state[own + 1] = at;
    state[own + 2] = t;
    state[own + 3] = left;
    x = 0;
  }
  return -1;
}

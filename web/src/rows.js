/**
 * The inner loops of method pyramid over rows (SPEC.md 5.5 and 5.6); see kernels.js for the arrays.
 *
 * Neighbours are kept in variables from one column to the next, and sums are truncated (`| 0`), so that the code is plain integer code
 * without checks of overflow.
 */

function minmod(a, b) {
  const low = b + ((a - b) & ((a - b) >> 31));
  const high = a + b - low;
  return (low & ~(low >> 31)) | (high & (high >> 31));
}

export function makeRowKernels({ KIND, D, R, ABOVE, CODES, SUMS, ACTIVITY, CHROMA, P, ROWS, VECTORS }) {
  const { abs, imul } = Math; // here, where engines take them for what they are
  const HALF = (1 << 19) + (1 << 27);

  /** Forget n columns of the rows above. */
  function clearRows(row, n) {
    for (let kind = D; kind <= CODES; kind += KIND) ROWS.fill(0, kind + row, kind + row + n + 2);
  }

  /** Sums of the taps known before a row is read, and the gradients' part of its activity; halves along x. */
  function lumaAlongX(p, n, s, taps, weights, row) {
    const t0 = taps[0], t1 = taps[1], t2 = taps[2], t3 = taps[3], t4 = taps[4], t5 = taps[5], t6 = taps[6];
    const t7 = taps[7], t8 = taps[8], t9 = taps[9], t10 = taps[10], t11 = taps[11], t12 = taps[12], t13 = taps[13];
    const w0 = weights[0], w1 = weights[1], w2 = weights[2], w3 = weights[3];
    p |= 0;
    s |= 0;
    row |= 0;
    n = (n + row) | 0;
    const s2 = (2 * s) | 0;
    // Rows above (b), here (c) and below (d); slopes `S` at the columns before, here and after, T of b and d, A of the outermost two rows.
    let A1 = (P[p - s2] + P[p + s2]) | 0, A0 = (P[p - s2 - 1] + P[p + s2 - 1]) | 0;
    let bl = P[p - s - 1], bm = P[p - s], br = P[p - s + 1], bS = bl - br;
    let cl = P[p - 1], cm = P[p], cr = P[p + 1], cS0 = P[p - 2] - cm, cS1 = cl - cr;
    let dl = P[p + s - 1], dm = P[p + s], dr = P[p + s + 1], dS = dl - dr;
    let T0 = (P[p - s - 2] - bm + P[p + s - 2] - dm) | 0, T1 = (bS + dS) | 0;
    let G = (abs(bl - bm) + abs(dl - dm)) | 0;
    let right = cl - cm, rightA = abs(right);
    let ul = 0, um = ROWS[D + row + 1], rl = 0; // differences and residuals of the row above
    for (let x = row | 0; x < n; x = (x + 1) | 0) {
      const A2 = (P[(p - s2 + 1) | 0] + P[(p + s2 + 1) | 0]) | 0;
      const bn = P[(p - s + 2) | 0];
      const cn = P[(p + 2) | 0];
      const dn = P[(p + s + 2) | 0];
      const bS2 = bm - bn;
      const cS2 = cm - cn;
      const dS2 = dm - dn;
      const T2 = (bS2 + dS2) | 0;
      const ur = ROWS[(x + D + 2) | 0];
      const rm = ROWS[(x + R + 1) | 0];
      const left = right;
      const leftA = rightA;
      right = cm - cr;
      rightA = abs(right);
      const g0 = (leftA + rightA) | 0;
      const g3 = abs(left - right);
      const sign = left >> 31;
      const bend = (((g0 - g3) >> 1) ^ sign) - sign; // minmod, by way of the gradients
      ROWS[(x + SUMS) | 0] = imul(t0, cS1) + imul(t1, cS0 + cS2) + imul(t2, bS) + imul(t3, dS)
        + imul(t4, T0 + T2) + imul(t5, A0 - A2)
        + imul(t6, bend) + imul(t7, minmod(bl - cm, cm - dr)) + imul(t8, minmod(dl - cm, cm - br))
        + imul(t9, um) + imul(t10, ul) + imul(t11, ur) + imul(t12, rm) + imul(t13, rl) | 0;
      const H = (abs(bm - br) + abs(dm - dr)) | 0;
      const g1 = (G + H) | 0;
      const g2 = (abs(bm - cm) + abs(dm - cm)) | 0;
      ROWS[(x + ACTIVITY) | 0] = (imul(w0, g0 < 32767 ? g0 : 32767) + imul(w1, g1 < 32767 ? g1 : 32767)
        + imul(w2, g2 < 32767 ? g2 : 32767) + imul(w3, g3 < 32767 ? g3 : 32767)) >> 12;
      A0 = A1; A1 = A2; T0 = T1; T1 = T2; G = H;
      bl = bm; bm = br; br = bn; bS = bS2;
      cm = cr; cr = cn; cS0 = cS1; cS1 = cS2;
      dl = dm; dm = dr; dr = dn; dS = dS2;
      ul = um; um = ur; rl = rm;
      p = (p + 1) | 0;
    }
  }

  /** The same where a pass halves along y. */
  function lumaAlongY(p, n, s, taps, weights, row) {
    const t0 = taps[0], t1 = taps[1], t2 = taps[2], t3 = taps[3], t4 = taps[4], t5 = taps[5], t6 = taps[6];
    const t7 = taps[7], t8 = taps[8], t9 = taps[9], t10 = taps[10], t11 = taps[11], t12 = taps[12], t13 = taps[13];
    const w0 = weights[0], w1 = weights[1], w2 = weights[2], w3 = weights[3];
    p |= 0;
    s |= 0;
    row |= 0;
    n = (n + row) | 0;
    const s2 = (2 * s) | 0;
    // Rows above (b), here (c) and below (d); slopes over one row (S) and two (T) by column; gradients G along y and V along x.
    let bl = P[p - s - 1], bm = P[p - s], br = P[p - s + 1];
    let dl = P[p + s - 1], dm = P[p + s], dr = P[p + s + 1];
    let cm = P[p], cr = P[p + 1];
    let S0 = P[p - s - 2] - P[p + s - 2], S1 = bl - dl, S2 = bm - dm, S3 = br - dr;
    let T0 = P[p - s2 - 1] - P[p + s2 - 1], T1 = P[p - s2] - P[p + s2];
    const cl = P[p - 1];
    let up = bm - cm, down = cm - dm;
    let G0 = (abs(bl - cl) + abs(cl - dl)) | 0, G1 = (abs(up) + abs(down)) | 0;
    let V0 = abs(cl - cm);
    let ul = 0, um = ROWS[D + row + 1], rl = 0;
    for (let x = row | 0; x < n; x = (x + 1) | 0) {
      const bn = P[(p - s + 2) | 0];
      const dn = P[(p + s + 2) | 0];
      const cn = P[(p + 2) | 0];
      const S4 = bn - dn;
      const T2 = P[(p - s2 + 1) | 0] - P[(p + s2 + 1) | 0];
      const ur = ROWS[(x + D + 2) | 0];
      const rm = ROWS[(x + R + 1) | 0];
      const g3 = abs(up - down);
      const sign = up >> 31;
      const bend = (((G1 - g3) >> 1) ^ sign) - sign;
      ROWS[(x + SUMS) | 0] = imul(t0, S2) + imul(t1, T1) + imul(t2, S1) + imul(t3, S3) + imul(t4, T0 + T2)
        + imul(t5, S0 + S4)
        + imul(t6, bend) + imul(t7, minmod(bl - cm, cm - dr)) + imul(t8, minmod(br - cm, cm - dl))
        + imul(t9, um) + imul(t10, ul) + imul(t11, ur) + imul(t12, rm) + imul(t13, rl) | 0;
      up = br - cr;
      down = cr - dr;
      const G2 = (abs(up) + abs(down)) | 0;
      const V1 = abs(cr - cm);
      const g1 = (G0 + G2) | 0;
      const g2 = (V0 + V1) | 0;
      ROWS[(x + ACTIVITY) | 0] = (imul(w0, G1 < 32767 ? G1 : 32767) + imul(w1, g1 < 32767 ? g1 : 32767)
        + imul(w2, g2 < 32767 ? g2 : 32767) + imul(w3, g3 < 32767 ? g3 : 32767)) >> 12;
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

  /** As lumaAlongX for chroma component c; the second one adds its activity. */
  function chromaAlongX(p, n, s, taps, weights, row, c) {
    const t0 = taps[0], t1 = taps[1], t2 = taps[2], t3 = taps[3], t4 = taps[4], t5 = taps[5];
    const w0 = weights[0], w1 = weights[1], w2 = weights[2], w3 = weights[3];
    const own = imul(c, KIND);
    const keep = (1 - c) | 0;
    p |= 0;
    s |= 0;
    row |= 0;
    n = (n + row) | 0;
    let bm = P[p - s], dm = P[p + s], bD = P[p - s - 1] - bm, dD = P[p + s - 1] - dm;
    let S = (bD + dD) | 0, G = (abs(bD) + abs(dD)) | 0;
    let cm = P[p], cr = P[p + 1], cS0 = P[p - 2] - cm, cS1 = P[p - 1] - cr, right = P[p - 1] - cm, rightA = abs(right);
    for (let x = row | 0; x < n; x = (x + 1) | 0) {
      const br = P[(p - s + 1) | 0];
      const dr = P[(p + s + 1) | 0];
      const cn = P[(p + 2) | 0];
      const bE = bm - br;
      const dE = dm - dr;
      const S2 = (bE + dE) | 0;
      const cS2 = cm - cn;
      const left = right;
      const leftA = rightA;
      right = cm - cr;
      rightA = abs(right);
      const g0 = (leftA + rightA) | 0;
      const g3 = abs(left - right);
      const sign = left >> 31;
      const bend = (((g0 - g3) >> 1) ^ sign) - sign;
      const at = (x + own) | 0;
      ROWS[(at + SUMS) | 0] = imul(t0, cS1) + imul(t1, cS0 + cS2) + imul(t2, S + S2) + imul(t3, bend)
        + imul(t4, ROWS[(at + D + 1) | 0]) + imul(t5, ROWS[(at + R + 1) | 0]) | 0;
      const H = (abs(bE) + abs(dE)) | 0;
      const g1 = (G + H) | 0;
      const g2 = (abs(bm - cm) + abs(dm - cm)) | 0;
      ROWS[(x + CHROMA) | 0] = (ROWS[(x + CHROMA) | 0] & keep) + ((imul(w0, g0 < 32767 ? g0 : 32767) + imul(w1, g1 < 32767 ? g1 : 32767)
        + imul(w2, g2 < 32767 ? g2 : 32767) + imul(w3, g3 < 32767 ? g3 : 32767)) >> 12);
      bm = br; dm = dr; S = S2; G = H;
      cm = cr; cr = cn; cS0 = cS1; cS1 = cS2;
      p = (p + 1) | 0;
    }
  }

  /** As chromaAlongX where a pass halves along y. */
  function chromaAlongY(p, n, s, taps, weights, row, c) {
    const t0 = taps[0], t1 = taps[1], t2 = taps[2], t3 = taps[3], t4 = taps[4], t5 = taps[5];
    const w0 = weights[0], w1 = weights[1], w2 = weights[2], w3 = weights[3];
    const own = imul(c, KIND);
    const keep = (1 - c) | 0;
    p |= 0;
    s |= 0;
    row |= 0;
    n = (n + row) | 0;
    const s2 = (2 * s) | 0;
    const cl = P[p - 1];
    let cm = P[p];
    let up = P[p - s] - cm, down = cm - P[p + s];
    let S0 = P[p - s - 1] - P[p + s - 1], S1 = P[p - s] - P[p + s];
    let G0 = (abs(P[p - s - 1] - cl) + abs(cl - P[p + s - 1])) | 0, G1 = (abs(up) + abs(down)) | 0;
    let V0 = abs(cl - cm);
    for (let x = row | 0; x < n; x = (x + 1) | 0) {
      const br = P[(p - s + 1) | 0];
      const dr = P[(p + s + 1) | 0];
      const cr = P[(p + 1) | 0];
      const S2 = br - dr;
      const g3 = abs(up - down);
      const sign = up >> 31;
      const bend = (((G1 - g3) >> 1) ^ sign) - sign;
      const at = (x + own) | 0;
      ROWS[(at + SUMS) | 0] = imul(t0, S1) + imul(t1, P[(p - s2) | 0] - P[(p + s2) | 0]) + imul(t2, S0 + S2) + imul(t3, bend)
        + imul(t4, ROWS[(at + D + 1) | 0]) + imul(t5, ROWS[(at + R + 1) | 0]) | 0;
      up = br - cr;
      down = cr - dr;
      const G2 = (abs(up) + abs(down)) | 0;
      const V1 = abs(cr - cm);
      const g1 = (G0 + G2) | 0;
      const g2 = (V0 + V1) | 0;
      ROWS[(x + CHROMA) | 0] = (ROWS[(x + CHROMA) | 0] & keep) + ((imul(w0, G1 < 32767 ? G1 : 32767) + imul(w1, g1 < 32767 ? g1 : 32767)
        + imul(w2, g2 < 32767 ? g2 : 32767) + imul(w3, g3 < 32767 ? g3 : 32767)) >> 12);
      cm = cr;
      S0 = S1; S1 = S2;
      G0 = G1; G1 = G2; V0 = V1;
      p = (p + 1) | 0;
    }
  }

  /**
   * Add the part of the activities of both groups that comes from energies, at p and q, and magnitudes, and put both in one number: more
   * than 16383 + 3 makes no difference to a class. `turn` is 0 or 1, in turns: which row of magnitudes is the one above.
   */
  function addEnergies(p, q, n, s, weights, others, row, turn) {
    const w4 = weights[4], w5 = weights[5], w6 = weights[6], w7 = weights[7], w8 = weights[8], w10 = weights[10], w11 = weights[11];
    const u4 = others[4], u5 = others[5], u6 = others[6], u7 = others[7], u8 = others[8], u10 = others[10], u11 = others[11];
    p |= 0;
    q |= 0;
    s |= 0;
    row |= 0;
    n = (n + row) | 0;
    const above = (ABOVE + 1 + imul(turn, KIND)) | 0;
    const above2 = (ABOVE + 1 + imul(1 - turn, KIND)) | 0;
    let left = P[p - 1], middle = P[p], leftF = P[q - 1], middleF = P[q];
    let ml = 0, cl = 0, mm = ROWS[above + row] & 4095, cm = ROWS[above + row] >> 12;
    for (let x = row | 0; x < n; x = (x + 1) | 0) {
      const right = P[(p + 1) | 0];
      const rightF = P[(q + 1) | 0];
      const next = ROWS[(x + above + 1) | 0];
      const far = ROWS[(x + above2) | 0];
      const mr = next & 4095;
      const cr = next >> 12;
      const a = (ROWS[(x + ACTIVITY) | 0] + ((imul(w4, middle) + imul(w5, P[(p - s) | 0] + P[(p + s) | 0] + left + right) + imul(w6, mm)
        + imul(w7, ml) + imul(w8, mr) + imul(w10, far & 4095) + imul(w11, cm)) >> 8)) | 0;
      const b = (ROWS[(x + CHROMA) | 0] + ((imul(u4, middleF) + imul(u5, P[(q - s) | 0] + P[(q + s) | 0] + leftF + rightF) + imul(u6, cm)
        + imul(u7, cl) + imul(u8, cr) + imul(u10, far >> 12) + imul(u11, mm)) >> 8)) | 0;
      ROWS[(x + ACTIVITY) | 0] = (a < 16384 ? a : 16384) | ((b < 16384 ? b : 16384) << 16);
      left = middle; middle = right;
      leftF = middleF; middleF = rightF;
      ml = mm; mm = mr;
      cl = cm; cm = cr;
      p = (p + 1) | 0;
      q = (q + 1) | 0;
    }
  }

  /**
   * Undo the halving of all components in a row: planes are `apart`; `a` is the place of the first pair's first child, its second one is
   * `other` after it, the next pair's `step`. Magnitudes are noted, and children get energies unless they are pixels.
   */
  function makeChildren(p, n, a, other, step, apart, size, tap0, tap1, tap2, row, turn, isColour, isFinal) {
    p |= 0;
    a |= 0;
    step |= 0;
    size |= 0;
    tap0 |= 0;
    tap1 |= 0;
    tap2 |= 0;
    row |= 0;
    n = (n + row) | 0;
    let b = (a + other) | 0;
    const second = apart | 0;
    const third = (2 * apart) | 0;
    const energy = (isColour ? 3 * apart : apart) | 0;
    const above2 = (ABOVE + 1 + imul(1 - turn, KIND)) | 0;
    let r0 = 0, r1 = 0, r2 = 0;
    for (let x = row; x < n; x = (x + 1) | 0) {
      const code = ROWS[(x + CODES) | 0] << 2;
      const t0 = (ROWS[(x + SUMS) | 0] + imul(tap0, r0) + 1024) >> 11;
      r0 = (imul(VECTORS[code], size) + 512) >> 10;
      r0 = r0 > 65535 ? 65535 : r0 < -65535 ? -65535 : r0;
      let d = (r0 + t0) | 0;
      d = d > 65535 ? 65535 : d < -65535 ? -65535 : d;
      let first = (P[p] + ((d + 1) >> 1)) | 0;
      P[a] = first;
      P[b] = (first - d) | 0;
      ROWS[(x + D + 1) | 0] = d;
      ROWS[(x + R + 1) | 0] = r0;
      if (isColour) {
        const t1 = (ROWS[(x + SUMS + KIND) | 0] + imul(tap1, r1) + 1024) >> 11;
        r1 = (imul(VECTORS[code | 1], size) + 512) >> 10;
        r1 = r1 > 65535 ? 65535 : r1 < -65535 ? -65535 : r1;
        d = (r1 + t1) | 0;
        d = d > 65535 ? 65535 : d < -65535 ? -65535 : d;
        first = (P[(p + second) | 0] + ((d + 1) >> 1)) | 0;
        P[(a + second) | 0] = first;
        P[(b + second) | 0] = (first - d) | 0;
        ROWS[(x + D + KIND + 1) | 0] = d;
        ROWS[(x + R + KIND + 1) | 0] = r1;
        const t2 = (ROWS[(x + SUMS + 2 * KIND) | 0] + imul(tap2, r2) + 1024) >> 11;
        r2 = (imul(VECTORS[code | 2], size) + 512) >> 10;
        r2 = r2 > 65535 ? 65535 : r2 < -65535 ? -65535 : r2;
        d = (r2 + t2) | 0;
        d = d > 65535 ? 65535 : d < -65535 ? -65535 : d;
        first = (P[(p + third) | 0] + ((d + 1) >> 1)) | 0;
        P[(a + third) | 0] = first;
        P[(b + third) | 0] = (first - d) | 0;
        ROWS[(x + D + 2 * KIND + 1) | 0] = d;
        ROWS[(x + R + 2 * KIND + 1) | 0] = r2;
      }
      const magnitudes = VECTORS[code | 3];
      ROWS[(x + above2) | 0] = magnitudes;
      if (!isFinal) {
        let e = ((magnitudes & 4095) + (P[(p + energy) | 0] >> 1)) | 0;
        P[(a + energy) | 0] = e;
        P[(b + energy) | 0] = e;
        if (isColour) {
          const chroma = (energy + apart) | 0;
          e = ((magnitudes >> 12) + (P[(p + chroma) | 0] >> 1)) | 0;
          P[(a + chroma) | 0] = e;
          P[(b + chroma) | 0] = e;
        }
      }
      p = (p + 1) | 0;
      a = (a + step) | 0;
      b = (b + step) | 0;
    }
  }

  /** Put a row of pixels, RGB of 8 bits, from `at` on (5.6). */
  function rgbRow(p, n, apart, colour, out, at) {
    p |= 0;
    at |= 0;
    const r0 = colour[0] | 0, g0 = colour[1] | 0, b0 = colour[2] | 0, r1 = colour[3] | 0, g1 = colour[4] | 0, b1 = colour[5] | 0;
    const r2 = colour[6] | 0, g2 = colour[7] | 0, b2 = colour[8] | 0;
    const second = apart | 0;
    const third = (2 * apart) | 0;
    for (const end = (p + n) | 0; p < end; p = (p + 1) | 0) {
      const s0 = P[p];
      const s1 = P[(p + second) | 0];
      const s2 = P[(p + third) | 0];
      let r = (imul(r0, s0) + imul(r1, s1) + imul(r2, s2) + HALF) >> 20;
      let g = (imul(g0, s0) + imul(g1, s1) + imul(g2, s2) + HALF) >> 20;
      let b = (imul(b0, s0) + imul(b1, s1) + imul(b2, s2) + HALF) >> 20;
      if ((r | g | b) & ~255) {
        r = r < 0 ? 0 : r > 255 ? 255 : r;
        g = g < 0 ? 0 : g > 255 ? 255 : g;
        b = b < 0 ? 0 : b > 255 ? 255 : b;
      }
      out[at] = r;
      out[(at + 1) | 0] = g;
      out[(at + 2) | 0] = b;
      at = (at + 3) | 0;
    }
  }

  return { clearRows, lumaAlongX, lumaAlongY, chromaAlongX, chromaAlongY, addEnergies, makeChildren, rgbRow };
}

/** Tiles of method pyramid (SPEC.md 5.3 to 5.6). */

import { Bits } from "./bits.js";
import { clip, imul, viewOf } from "./bytes.js";
import { varint } from "./container.js";
import { TruncatedError, need } from "./errors.js";
import { addEnergies, chromaAlongX, chromaAlongY, lumaAlongX, lumaAlongY, makeChildren, makeEnergies } from "./kernels.js";
import { Lanes } from "./lanes.js";
import { halved, plainPixels, samplesOf } from "./lossless.js";
import { Planes, geometry } from "./planes.js";
import { LEVELS, NEXT, Tables, checkTaps } from "./pyramid-model.js";

const NONE = new Int32Array(12); // weights of grey tiles for chroma
const DEFAULT_COLOUR = [9459, 9459, 9459, 11585, 0, -11585, 6689, -13377, 6689];

/** The method's parameters (5.1). */
export function pyramidParameters({ parameterBytes: bytes, tileSize, colours, bitDepth }) {
  need(tileSize % 32 === 0, `tile size ${tileSize}: it must be a multiple of 32`);
  need(bytes.length === 8, "method pyramid has 8 parameter bytes");
  const step = viewOf(bytes).getUint32(0, true);
  const [states, lanes] = bytes.subarray(4);
  const least = bitDepth === 8 ? 256 : 16;
  need(step >= least && step <= 131072, `step ${step}: it must be ${least} ... 131072`);
  need(states in NEXT, `${states} states: it must be 1, 8 or 16`);
  need(lanes === 1 || lanes === 2 || lanes === 4, `${lanes} lanes: it must be 1, 2 or 4`);
  need(bytes[6] === colours && bytes[7] === bitDepth, "the method's channels or bit depth are not the header's");
  return { step: step / 1024, states, lanes };
}

/** Returns a function that decodes a tile's payload to its pixels at 1 / 2^reduce of their size. */
export function pyramidDecoder(header, part, reduce) {
  const { colours, tileSize, parameters: { states, lanes } } = header;
  const step = header.parameters.step * 1024;
  const band = part.bandEdges.reduce((count, edge) => count + (edge <= step), 0);
  const quantiser = part.quantisers[states === 1 ? 0 : 1];
  quantiser.bands[band] ??= new Tables({
    ...quantiser, contexts: part.ny * part.nc, rareContexts: part.ny * 5 + 5, stride: part.bands, band, ny: part.ny, nc: part.nc,
  });
  const shared = { header, part, band, step, lanes, tables: quantiser.bands[band], next: Uint8Array.from(NEXT[states]), reduce };
  let planes = null;
  return (payload, width, height) => {
    planes ??= new Planes(Math.min(tileSize, header.width), Math.min(tileSize, header.height), colours);
    return new Tile(shared, planes, payload, width, height).decode();
  };
}

class Tile {
  constructor(shared, planes, payload, width, height) {
    Object.assign(this, shared, { planes, payload, width, height });
    this.channels = this.header.colours;
    this.bitDepth = this.header.bitDepth;
  }

  decode() {
    const { payload, lanes, channels, bitDepth, reduce, width, height } = this;
    this.coded = payload[0] | (payload[1] << 8);
    if (this.coded === 32768) return halved(plainPixels(payload.subarray(2), width, height, channels, bitDepth), width, height, channels, reduce);
    const from = { at: 2 };
    const baseLength = varint(payload, from);
    const lengths = Array.from({ length: this.coded ? lanes : 0 }, () => {
      const length = varint(payload, from);
      need(length >= 2, "a lane of a tile is too short");
      return length;
    });
    const { at } = from;
    need(at + baseLength + 2 * lengths.reduce((a, b) => a + b, 0) === payload.length, "the lengths in a tile do not add up", TruncatedError);
    const { levels, w, h } = geometry(width, height);
    for (let level = 0; level < 16; level++) {
      need(!((this.coded >> level) & 1) || (level < LEVELS && levels[level].pass), "a tile codes a pass that it does not have");
    }
    const bits = new Bits(payload.subarray(at, at + baseLength));
    this.readOwn(bits);
    this.readBase(bits, w, h);
    this.reader = new Lanes(payload.subarray(at + baseLength), lengths, this);
    for (let level = LEVELS - 1; level >= 2 * reduce; level--) if (levels[level].pass) this.pass(level, levels[level]);
    if (reduce === 0) this.reader.finish();
    return this.pixels();
  }

  /** The tile's own colours, filters and weights. */
  readOwn(bits) {
    const { part, band, coded, channels } = this;
    this.colour = DEFAULT_COLOUR;
    if (channels === 3 && bits.bit()) {
      this.colour = Array.from({ length: 9 }, () => (bits.bits(16) << 16) >> 16);
      for (let k = 0; k < 3; k++) {
        const sum = Math.abs(this.colour[k]) + Math.abs(this.colour[k + 3]) + Math.abs(this.colour[k + 6]);
        need(sum <= 32768, "a tile's colours are beyond their limit");
      }
    }
    const own = (all, length, index, factor) => {
      const values = Int32Array.from(all.subarray(index * length, (index + 1) * length));
      const state = { total: 4, count: 1 };
      if (bits.bit()) for (let i = 0; i < length; i++) values[i] += factor * bits.adaptive(state);
      return values;
    };
    this.filters = [];
    this.weights = [];
    for (let level = 0; level < LEVELS; level++) {
      const at = band * LEVELS + level;
      const read = (coded >> level) & 1 ? own : (all, length, index) => Int32Array.from(all.subarray(index * length, (index + 1) * length));
      const filters = [read(part.lumaTaps, 15, at, 16)];
      if (channels === 3) filters.push(read(part.chromaTaps, 7, 2 * at, 16), read(part.chromaTaps, 7, 2 * at + 1, 16));
      const weights = [read(part.activity, 12, 2 * at, 32)];
      if (channels === 3) weights.push(read(part.activity, 12, 2 * at + 1, 32));
      this.filters.push(filters);
      this.weights.push(weights);
    }
    for (const taps of this.filters.flat()) checkTaps(taps, taps.length, "a tile");
    for (const list of this.weights.flat()) need(list.every((weight) => weight >= 0 && weight <= 16384), "a tile's weight is beyond its limit");
  }

  readBase(bits, w, h) {
    const unit = Math.max(this.step >> 9, 1);
    const q = new Int32Array(w * h);
    for (const pair of this.planes.samples) {
      const plane = pair[0];
      plane.resize(w, h);
      const state = { total: 16, count: 1 };
      for (let y = 0, i = 0; y < h; y++) {
        if (y === 0) q[i++] = clip(bits.folded(18), -65535, 65535);
        const silent = bits.bit();
        for (let x = y === 0 ? 1 : 0; x < w; x++, i++) {
          let guess = x === 0 ? q[i - w] : q[i - 1];
          if (x > 0 && y > 0) {
            const [a, b, c] = [q[i - 1], q[i - w], q[i - w - 1]];
            guess = Math.max(Math.min(a, b), Math.min(Math.max(a, b), a + b - c));
          }
          q[i] = clip(guess + (silent ? 0 : bits.adaptive(state)), -65535, 65535);
        }
        for (let x = 0; x < w; x++) plane.values[plane.start + y * plane.stride + x] = imul(q[y * w + x], unit);
      }
      plane.extend();
    }
    for (const pair of this.planes.energies) {
      pair[0].resize(w, h);
      pair[0].values.fill(0);
    }
  }

  // -------------------------------------------------------------- passes (5.5)

  pass(level, { w, h }) {
    const { planes, lanes, channels } = this;
    const alongX = !(level & 1);
    const [luma, chroma] = alongX ? [lumaAlongX, chromaAlongX] : [lumaAlongY, chromaAlongY];
    const rows = alongX ? h : h >> 1;
    const columns = alongX ? w >> 1 : w;
    const size = Math.max(16, alongX ? imul(this.step, 181) >> (7 + (level >> 1)) : this.step >> (level >> 1));
    const isCoded = (this.coded >> level) & 1;
    const scaled = this.weights[level].map((list) => list.map((weight, i) => (i < 4 ? Math.min(Math.floor((weight * 4096) / size), 8191) : weight)));
    const left = [scaled[0][9], scaled.length > 1 ? scaled[1][9] : 0];
    const limit = Math.floor(2 ** 29 / size);
    const filters = this.filters[level];
    const all = [...planes.samples, ...planes.energies];
    for (const [, child] of all) child.resize(w, h);
    for (const rowsOf of [...planes.d, ...planes.r, ...planes.magnitudes, ...planes.v]) rowsOf.fill(0);
    const used = rows < 4 * lanes ? 1 : lanes;
    const share = Math.floor(rows / used);
    const extra = rows % used;
    const [sample, sampleChild] = planes.samples[0];
    const [energy, energyChild] = planes.energies[0];
    const [other, otherChild] = planes.energies[1];
    for (let turn = 0; turn < share + (extra ? 1 : 0); turn++) {
      const active = turn < share ? used : extra;
      for (let lane = 0; lane < active; lane++) {
        const y = lane * share + Math.min(lane, extra) + turn;
        const p = sample.start + y * sample.stride;
        const row = lane * planes.stride;
        const args = [p, columns, sample.stride];
        luma(planes.samples[0][0].values, ...args, filters[0], scaled[0], planes.d[0], planes.r[0], row, planes.sums[0], planes.activity[0]);
        for (let c = 1; c < channels; c++) {
          chroma(planes.samples[c][0].values, ...args, filters[c], scaled[1], planes.d[c], planes.r[c], row, planes.sums[c], planes.activity[1], c === 2 ? -1 : 0);
        }
        if (isCoded) {
          addEnergies(energy.values, other.values, p, columns, sample.stride, scaled[0], scaled[1] ?? NONE, ...planes.magnitudes, row, ...planes.activity);
        }
      }
      const magnitudes = planes.magnitudes[1];
      if (isCoded) this.reader.readRows(active, columns, planes.stride, planes.activity, left, limit, planes.v, magnitudes);
      for (let lane = 0; lane < active; lane++) {
        const y = lane * share + Math.min(lane, extra) + turn;
        const p = sample.start + y * sample.stride;
        const row = lane * planes.stride;
        const a = sampleChild.start + (alongX ? y : 2 * y) * sampleChild.stride;
        const b = a + (alongX ? 1 : sampleChild.stride);
        const step = alongX ? 2 : 1;
        planes.samples.forEach(([parent, child], c) => {
          makeChildren(parent.values, p, columns, child.values, a, b, step, size, filters[c][c ? 6 : 14], planes.v[c], planes.sums[c], planes.d[c], planes.r[c], row);
        });
        if (level > 0) makeEnergies(energy.values, other.values, p, columns, energyChild.values, otherChild.values, a, b, step, magnitudes, row);
      }
      planes.magnitudes.reverse();
    }
    for (const pair of all) {
      const [parent, child] = pair;
      if (alongX && w & 1) {
        for (let y = 0; y < h; y++) {
          child.values[child.start + y * child.stride + w - 1] = parent.values[parent.start + y * parent.stride + parent.w - 1];
        }
      } else if (!alongX && h & 1) {
        const from = parent.start + (parent.h - 1) * parent.stride;
        child.values.set(parent.values.subarray(from, from + w), child.start + (h - 1) * child.stride);
      }
      child.extend();
      pair.reverse();
    }
  }

  // -------------------------------------------------------------- pixels (5.6)

  pixels() {
    const { planes: { samples }, channels, colour, bitDepth } = this;
    const [{ values: c0, w, h, stride, start }] = samples[0];
    const out = samplesOf(bitDepth, w * h * channels);
    if (bitDepth === 16) {
      const planes = samples.map(([plane]) => plane.values);
      for (let y = 0, at = 0; y < h; y++) {
        for (let p = start + y * stride, end = p + w; p < end; p++) {
          if (channels === 1) out[at++] = clip((imul(c0[p] + 8192, 257) + 32) >> 6, 0, 65535);
          else {
            for (let k = 0; k < 3; k++) {
              const s = imul(colour[k], c0[p]) + imul(colour[k + 3], planes[1][p]) + imul(colour[k + 6], planes[2][p]) + (1 << 27);
              out[at++] = clip((imul(s >> 8, 257) + 2048) >> 12, 0, 65535);
            }
          }
        }
      }
      return out;
    }
    if (channels === 1) {
      for (let y = 0, at = 0; y < h; y++) {
        for (let p = start + y * stride, end = p + w; p < end; p++) {
          const v = (c0[p] + 8224) >> 6;
          out[at++] = v < 0 ? 0 : v > 255 ? 255 : v;
        }
      }
      return out;
    }
    const c1 = samples[1][0].values;
    const c2 = samples[2][0].values;
    const [r0, g0, b0, r1, g1, b1, r2, g2, b2] = colour;
    const half = (1 << 19) + (1 << 27);
    for (let y = 0, at = 0; y < h; y++) {
      for (let p = start + y * stride, end = p + w; p < end; p++, at += 3) {
        const s0 = c0[p];
        const s1 = c1[p];
        const s2 = c2[p];
        const r = (imul(r0, s0) + imul(r1, s1) + imul(r2, s2) + half) >> 20;
        const g = (imul(g0, s0) + imul(g1, s1) + imul(g2, s2) + half) >> 20;
        const b = (imul(b0, s0) + imul(b1, s1) + imul(b2, s2) + half) >> 20;
        out[at] = r < 0 ? 0 : r > 255 ? 255 : r;
        out[at + 1] = g < 0 ? 0 : g > 255 ? 255 : g;
        out[at + 2] = b < 0 ? 0 : b > 255 ? 255 : b;
      }
    }
    return out;
  }
}

/** Tiles of method pyramid (SPEC.md 5.3 to 5.6). */

import { Bits } from "./bits.js";
import { clip, imul, viewOf } from "./bytes.js";
import { varint } from "./container.js";
import { TruncatedError, need } from "./errors.js";
import { Lanes } from "./lanes.js";
import { halved, plainPixels, samplesOf } from "./lossless.js";
import { Planes, geometry } from "./planes.js";
import { LEVELS, NEXT, Tables, checkTaps } from "./pyramid-model.js";

const NONE = new Int32Array(12); // weights of grey tiles for chroma
const SMOOTH_TAPS = [704, -96];
const DEFAULT_COLOUR = [9459, 9459, 9459, 11585, 0, -11585, 6689, -13377, 6689];

/** The method's parameters (5.1). */
export function pyramidParameters({ parameterBytes: bytes, tileSize, bitDepth }) {
  need(tileSize % 32 === 0, `tile size ${tileSize}: it must be a multiple of 32`);
  need(bytes.length === 6, "method pyramid has 6 parameter bytes");
  const step = viewOf(bytes).getUint32(0, true);
  const [states, lanes] = bytes.subarray(4);
  const least = bitDepth === 8 ? 256 : 16;
  need(step >= least && step <= 524288, `step ${step}: it must be ${least} ... 524288`);
  need(states in NEXT, `${states} states: it must be 1, 8 or 16`);
  need(lanes === 1 || lanes === 2 || lanes === 4, `${lanes} lanes: it must be 1, 2 or 4`);
  return { step: step / 1024, states, lanes };
}

/** Returns a function that decodes a tile's payload to its pixels at 1 / 2^reduce of their size. */
export function pyramidDecoder(header, parts, reduce) {
  const { colours, tileSize, parameters: { states, lanes } } = header;
  const step = header.parameters.step * 1024;
  const band = parts[0].bandEdges.reduce((count, edge) => count + (edge <= step), 0);
  const shared = { header, parts, band, step, states, lanes, next: NEXT[states], reduce };
  let planes = null;
  return (payload, width, height) => {
    planes ??= new Planes(Math.min(tileSize, header.width), Math.min(tileSize, header.height), colours, parts);
    return new Tile(shared, planes, payload, width, height).decode();
  };
}

class Tile {
  constructor(shared, planes, payload, width, height) {
    const { kernels } = planes;
    Object.assign(this, shared, { planes, kernels, payload, width, height });
    this.channels = this.header.colours;
    this.bitDepth = this.header.bitDepth;
  }

  decode() {
    const { kernels, payload, lanes, channels, bitDepth, reduce, width, height } = this;
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
    if (kernels.tables !== this.tables) {
      this.tables.install(kernels);
      kernels.tables = this.tables;
    }
    kernels.NEXT.set(this.next);
    this.reader = new Lanes(payload.subarray(at + baseLength), lengths, this);
    for (let level = LEVELS - 1; level >= 2 * reduce; level--) if (levels[level].pass) this.pass(level, levels[level]);
    if (reduce === 0) this.reader.finish();
    return this.pixels();
  }

  /** The tile's own colours, filters and weights. */
  readOwn(bits) {
    const { band, coded, channels } = this;
    this.colour = DEFAULT_COLOUR;
    const isSmooth = bits.bit() === 1;
    this.planes.isSmooth = isSmooth;
    const part = this.parts[channels === 3 && this.states > 1 ? bits.bit() : 0];
    this.tables = Tables.of(part, band, this.states);
    if (channels === 3 && bits.bit()) {
      this.colour = Array.from({ length: 9 }, () => (bits.bits(16) << 16) >> 16);
      for (let k = 0; k < 3; k++) {
        const sum = Math.abs(this.colour[k]) + Math.abs(this.colour[k + 3]) + Math.abs(this.colour[k + 6]);
        need(sum <= 32768, "a tile's colours are beyond their limit");
      }
    }
    const started = (all, length, index, factor) => {
      if (isSmooth && factor === 16) return Int32Array.from({ length }, (_, i) => SMOOTH_TAPS[i] ?? 0);
      return Int32Array.from(all.subarray(index * length, (index + 1) * length));
    };
    const own = (all, length, index, factor) => {
      const values = started(all, length, index, factor);
      const state = { total: 4, count: 1 };
      if (bits.bit()) for (let i = 0; i < length; i++) values[i] += factor * bits.adaptive(state);
      return values;
    };
    this.filters = [];
    this.weights = [];
    for (let level = 0; level < LEVELS; level++) {
      const at = band * LEVELS + level;
      const read = (coded >> level) & 1 ? own : started;
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
    const unit = Math.max(this.step >> 11, 1);
    const q = new Int32Array(w * h);
    const { planes } = this;
    for (let c = 0; c < planes.channels; c++) {
      const from = planes.parents + c * planes.size;
      const state = { total: 16, count: 1 };
      let slopes = 0;
      for (let y = 0, i = 0; y < h; y++) {
        if (y === 0) {
          q[i++] = clip(bits.folded(18), -65535, 65535);
          slopes = bits.bit();
        }
        const silent = bits.bit();
        for (let x = y === 0 ? 1 : 0; x < w; x++, i++) {
          const back = x === 0 ? w : 1;
          let guess = q[i - back];
          if (x > 0 && y > 0) {
            const [a, b] = [guess, q[i - w]];
            guess = a + b - q[i - w - 1];
            if (!slopes) guess = Math.max(Math.min(a, b), Math.min(Math.max(a, b), guess));
          } else if (slopes && x + y > 1) guess += guess - q[i - 2 * back];
          q[i] = clip(guess + (silent ? 0 : bits.adaptive(state)), -65535, 65535);
        }
        for (let x = 0; x < w; x++) planes.values[Planes.at(from, w, y) + x] = imul(q[y * w + x], unit);
      }
      planes.extend(c, w, h);
    }
    planes.values.fill(0, planes.parents + planes.channels * planes.size, planes.parents + planes.count * planes.size);
  }

  // -------------------------------------------------------------- passes (5.5)

  pass(level, { w, h }) {
    const { planes, kernels, tables, lanes, channels } = this;
    const alongX = !(level & 1);
    const luma = alongX ? kernels.lumaAlongX : kernels.lumaAlongY;
    const chroma = alongX ? kernels.chromaAlongX : kernels.chromaAlongY;
    const rows = alongX ? h : h >> 1;
    const columns = alongX ? w >> 1 : w;
    const size = Math.max(16, alongX ? imul(this.step, 181) >> (7 + (level >> 1)) : this.step >> (level >> 1));
    const isCoded = (this.coded >> level) & 1;
    const scaled = this.weights[level].map((list) => list.map((weight, i) => (i < 4 ? Math.min(Math.floor((weight * 4096) / size), 8191) : weight)));
    const left = [scaled[0][9], scaled.length > 1 ? scaled[1][9] : 0];
    const limit = Math.floor(2 ** 29 / size);
    const filters = this.filters[level];
    const used = rows < 4 * lanes ? 1 : lanes;
    for (let lane = 0; lane < used; lane++) kernels.clearRows(lane * kernels.ROW, columns);
    if (isCoded) tables.weigh(kernels, left);
    const share = Math.floor(rows / used);
    const extra = rows % used;
    const parentW = alongX ? (w + 1) >> 1 : w;
    const parentH = alongX ? h : (h + 1) >> 1;
    const { parents, children, values, size: apart } = planes;
    const stride = parentW + 4;
    const childStride = w + 4;
    const [step, other] = alongX ? [2, 1] : [1, childStride];
    const lumaEnergy = channels * apart;
    const chromaEnergy = (planes.count - 1) * apart;
    for (let turn = 0; turn < share + (extra ? 1 : 0); turn++) {
      const active = turn < share ? used : extra;
      for (let lane = 0; lane < active; lane++) {
        const y = lane * share + Math.min(lane, extra) + turn;
        const p = Planes.at(parents, parentW, y);
        const row = lane * kernels.ROW;
        luma(p, columns, stride, filters[0], scaled[0], row);
        for (let c = 1; c < channels; c++) chroma(p + c * apart, columns, stride, filters[c], scaled[1], row, c);
        if (isCoded) kernels.addEnergies(p + lumaEnergy, p + chromaEnergy, columns, stride, scaled[0], scaled[1] ?? NONE, row, turn & 1);
      }
      if (isCoded) this.reader.readRows(active, columns, tables, limit, left);
      for (let lane = 0; lane < active; lane++) {
        const y = lane * share + Math.min(lane, extra) + turn;
        const p = Planes.at(parents, parentW, y);
        const row = lane * kernels.ROW;
        const a = Planes.at(children, w, alongX ? y : 2 * y);
        kernels.makeChildren(p, columns, a, other, step, apart, size, filters[0][14], filters[1]?.[6], filters[2]?.[6], row, turn & 1, channels === 3, level === 0);
      }
    }
    for (let c = 0; c < planes.count; c++) {
      const [from, to] = [parents + c * apart, children + c * apart];
      if (alongX && w & 1) {
        for (let y = 0; y < h; y++) values[Planes.at(to, w, y) + w - 1] = values[Planes.at(from, parentW, y) + parentW - 1];
      } else if (!alongX && h & 1) {
        const last = Planes.at(from, w, parentH - 1);
        values.copyWithin(Planes.at(to, w, h - 1), last, last + w);
      }
    }
    planes.swap(w, h);
  }

  // -------------------------------------------------------------- pixels (5.6)

  pixels() {
    const { planes, width, height, reduce, channels, colour, bitDepth } = this;
    const [w, h] = [width, height].map((side) => Math.ceil(side / 2 ** reduce));
    const { values, parents, size } = planes;
    const stride = w + 4;
    const start = Planes.at(parents, w, 0);
    const out = samplesOf(bitDepth, w * h * channels);
    if (bitDepth === 16) {
      for (let y = 0, at = 0; y < h; y++) {
        for (let p = start + y * stride, end = p + w; p < end; p++) {
          if (channels === 1) out[at++] = clip((imul(values[p] + 8192, 257) + 32) >> 6, 0, 65535);
          else {
            for (let k = 0; k < 3; k++) {
              const s = imul(colour[k], values[p]) + imul(colour[k + 3], values[p + size]) + imul(colour[k + 6], values[p + 2 * size]) + (1 << 27);
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
          const v = (values[p] + 8224) >> 6;
          out[at++] = v < 0 ? 0 : v > 255 ? 255 : v;
        }
      }
      return out;
    }
    for (let y = 0; y < h; y++) this.kernels.rgbRow(start + y * stride, w, size, colour, out, 3 * y * w);
    return out;
  }
}

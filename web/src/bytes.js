/** Small helpers for numbers and bytes. */

export const { imul } = Math;
export const clip = (v, lo, hi) => (v < lo ? lo : v > hi ? hi : v);
export const latin = (bytes) => String.fromCharCode(...bytes);
export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
export const viewOf = (data) => new DataView(data.buffer, data.byteOffset, data.length);
export const bytesOf = (data) => {
  if (data instanceof Uint8Array) return data;
  if (ArrayBuffer.isView(data)) return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  return new Uint8Array(data);
};

/** PNG files of decoded images, every sample kept (a canvas would lose 16 bits, and colours under alpha). */

import { crc32 } from "./rnnic.js";

const COLOUR_TYPES = [0, 4, 2, 6];
const latin = (text) => Uint8Array.from(text, (letter) => letter.charCodeAt(0));

async function deflate(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

function chunk(type, ...parts) {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  const out = new Uint8Array(length + 12);
  const view = new DataView(out.buffer);
  view.setUint32(0, length);
  let at = 4;
  for (const part of [latin(type), ...parts]) {
    out.set(part, at);
    at += part.length;
  }
  view.setUint32(at, crc32(out.subarray(4, at)));
  return out;
}

/** Each row, filtered by the difference to the row above, which suits photos and is quick. */
function filteredRows({ width, height, channels, bitDepth, data }) {
  const size = (width * channels * bitDepth) / 8;
  const out = new Uint8Array(height * (size + 1));
  let above = new Uint8Array(size);
  let row = new Uint8Array(size);
  for (let y = 0, at = 0; y < height; y++) {
    const samples = data.subarray(y * width * channels, (y + 1) * width * channels);
    if (bitDepth === 8) row.set(samples);
    else {
      samples.forEach((sample, i) => {
        row[2 * i] = sample >> 8;
        row[2 * i + 1] = sample;
      });
    }
    out[at++] = 2;
    for (let i = 0; i < size; i++) out[at++] = row[i] - above[i];
    [above, row] = [row, above];
  }
  return out;
}

/** A PNG file of an image, with its ICC profile and EXIF block. */
export async function pngOf(image, metadata) {
  const head = new DataView(new ArrayBuffer(13));
  head.setUint32(0, image.width);
  head.setUint32(4, image.height);
  head.setUint8(8, image.bitDepth);
  head.setUint8(9, COLOUR_TYPES[image.channels - 1]);
  const chunks = [chunk("IHDR", new Uint8Array(head.buffer))];
  if (metadata.icc) chunks.push(chunk("iCCP", latin("ICC profile\0\0"), await deflate(metadata.icc)));
  if (metadata.exif) chunks.push(chunk("eXIf", metadata.exif));
  chunks.push(chunk("IDAT", await deflate(filteredRows(image))), chunk("IEND"));
  return new Blob([Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 13, 10, 26, 10), ...chunks], { type: "image/png" });
}

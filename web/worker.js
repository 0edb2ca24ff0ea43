/**
 * Decodes files away from the page: receives `{id, data, model}`, answers with `{id, info}`, then an `{id, image}` for every size
 * from coarse to fine, `{id, done}` with the milliseconds that the full size took, or `{id, error}`.
 */

import { Model, RnnicError, decode, info, toRgba } from "./rnnic.js";

const COARSE_TO_FINE = [5, 4, 3, 2, 1, 0];
const models = new Map();

async function modelOf(url) {
  if (!models.has(url)) models.set(url, await Model.load(url));
  return models.get(url);
}

function post(id, image, reduce) {
  const rgba = toRgba(image);
  self.postMessage({ id, image: { width: image.width, height: image.height, reduce, rgba } }, [rgba.buffer]);
}

self.onmessage = async ({ data: { id, data, model: url } }) => {
  try {
    const told = info(data);
    self.postMessage({ id, info: told });
    const model = await modelOf(url);
    // Method raster is decoded whole, whatever the size: it is shown once.
    const sizes = told.method === "pyramid" ? COARSE_TO_FINE : [0];
    let ms = 0;
    for (const reduce of sizes) {
      const start = performance.now();
      const image = decode(data, { model, reduce });
      ms = performance.now() - start;
      post(id, image, reduce);
    }
    self.postMessage({ id, done: { ms } });
  } catch (error) {
    if (!(error instanceof RnnicError)) throw error;
    self.postMessage({ id, error: { name: error.name, message: error.message } });
  }
};

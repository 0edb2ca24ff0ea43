/**
 * Decoding in Web Workers. On a page, `RemoteDecoder` starts this very module as the workers and asks them for what rnnic.js does, so that
 * the page does not stand still meanwhile and tiles are decoded at once.
 */

import * as rnnic from "./rnnic.js";

const isWorker = typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope;

/** Answers requests, `{id, what, ...}`, with `{id, result}` or `{id, error}`. */
function serve() {
  let models = Promise.resolve([]);

  const tasks = {
    async model({ urls }) {
      models = Promise.all(urls.map((url) => rnnic.Model.load(url)));
      await models;
    },
    info: ({ data, options }) => rnnic.info(data, options),
    plan: ({ data, options }) => rnnic.plan(data, options),
    decode: async ({ data, options }) => rnnic.decode(data, { ...options, model: await models }),
    async part({ planned, part, payload, isShown }) {
      const image = rnnic.decodePart(planned, part, payload, await models);
      return isShown ? { ...image, rgba: rnnic.toRgba(image) } : image;
    },
  };

  self.onmessage = async ({ data: request }) => {
    const { id, what } = request;
    try {
      const result = await tasks[what](request);
      self.postMessage({ id, result }, [result?.data, result?.rgba].filter(Boolean).map(({ buffer }) => buffer));
    } catch (error) {
      self.postMessage({ id, error: { name: error.name, message: error.message } });
    }
  };
}

if (isWorker) serve();

/** One worker and what it has been asked. */
class Remote {
  #worker = new Worker(import.meta.url, { type: "module" });
  #waiting = new Map();
  #last = 0;

  constructor(urls, onFail) {
    this.#worker.onmessage = ({ data }) => this.#answer(data);
    this.#worker.onerror = (event) => onFail(new Error(event.message || "the worker could not be started"));
    this.ready = this.ask({ what: "model", urls });
  }

  #answer({ id, result, error }) {
    const { succeed, fail } = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error) fail(Object.assign(new (rnnic[error.name] ?? Error)(error.message), error.name in rnnic ? {} : { name: error.name }));
    else succeed(result);
  }

  ask(request, transfer = []) {
    const id = ++this.#last;
    return new Promise((succeed, fail) => {
      this.#waiting.set(id, { succeed, fail });
      this.#worker.postMessage({ ...request, id }, transfer);
    });
  }

  close(reason) {
    this.#worker.terminate();
    for (const { fail } of this.#waiting.values()) fail(reason);
    this.#waiting.clear();
  }
}

const MOST_WORKERS = 8;

/** A decoder in workers of its own: one, and more as soon as an image has several tiles. */
export class RemoteDecoder {
  #remotes = [];
  #most;
  #urls;

  /** `urls` are those of model files; `workers` is how many may be started, one a processor (at most 8) unless said otherwise. */
  constructor(urls, { workers = Math.min(navigator.hardwareConcurrency || 1, MOST_WORKERS) } = {}) {
    this.#urls = urls.map((url) => new URL(url, document.baseURI).href);
    this.#most = Math.max(1, workers);
    /** Fulfilled when the models are there. */
    this.ready = this.#remote(0).ready;
  }

  #remote(i) {
    if (i === this.#remotes.length) {
      this.#remotes.push(new Remote(this.#urls, (error) => this.close(error)));
      if (i > 0) this.#remotes[i].ready.catch(() => {}); // it is told by what is decoded there
    }
    return this.#remotes[i];
  }

  /** As `info` of rnnic.js. */
  info(data, options = {}) {
    return this.#remote(0).ask({ what: "info", data, options });
  }

  /** As `decode` of rnnic.js, without `model` and `onTile`; `onPart` gets `{x, y, width, height, done, of, rgba}` for every tile, in any order. */
  async decode(data, options = {}, onPart = null) {
    const planned = await this.#remote(0).ask({ what: "plan", data, options });
    if (!planned.early) return this.#remote(0).ask({ what: "decode", data, options });
    const { parts, image, ...rest } = planned;
    const { width, channels, bitDepth } = image;
    const bytes = ArrayBuffer.isView(data) ? new Uint8Array(data.buffer, data.byteOffset, data.byteLength) : new Uint8Array(data);
    const out = new (bitDepth === 8 ? Uint8Array : Uint16Array)(width * image.height * channels);
    let [next, done] = [0, 0];
    const work = async (remote) => {
      while (next < parts.length) {
        const part = parts[next++];
        const payload = bytes.slice(part.offset, part.offset + part.length);
        const request = { what: "part", planned: { ...rest, image }, part, payload, isShown: onPart !== null };
        const made = await remote.ask(request, [payload.buffer]).catch((error) => {
          next = parts.length;
          throw error;
        });
        const length = part.width * channels;
        for (let row = 0; row < part.height; row++) {
          out.set(made.data.subarray(row * length, (row + 1) * length), ((part.y + row) * width + part.x) * channels);
        }
        onPart?.({ x: part.x, y: part.y, width: part.width, height: part.height, done: ++done, of: parts.length, rgba: made.rgba });
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.#most, parts.length) }, (_, i) => work(this.#remote(i))));
    return { ...image, data: out };
  }

  /** End the workers; what they have not answered fails. */
  close(reason = new Error("the decoder was closed")) {
    for (const remote of this.#remotes) remote.close(reason);
  }
}

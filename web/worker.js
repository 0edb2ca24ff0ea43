/**
 * Decoding in a Web Worker. On a page, `RemoteDecoder` starts this very module as the worker and asks it for what rnnic.js does, so that
 * the page does not stand still meanwhile.
 */

import * as rnnic from "./rnnic.js";

const isWorker = typeof WorkerGlobalScope !== "undefined" && self instanceof WorkerGlobalScope;

/** Answers requests: `{id, what, data, options}` to `{id, result}`, `{id, error}` and, in between, `{id, part}`. */
function serve() {
  let models = Promise.resolve([]);

  const piece = ({ x, y, width, height, done, of, image }) => {
    const { channels, data } = image;
    const own = new data.constructor(width * height * channels);
    for (let row = 0; row < height; row++) {
      const from = ((y + row) * image.width + x) * channels;
      own.set(data.subarray(from, from + width * channels), row * width * channels);
    }
    return { x, y, width, height, done, of, rgba: rnnic.toRgba({ data: own, channels }) };
  };

  const tasks = {
    async model({ urls }) {
      models = Promise.all(urls.map((url) => rnnic.Model.load(url)));
      await models;
    },
    info: ({ data, options }) => rnnic.info(data, options),
    async decode({ id, data, options, parts }) {
      const onTile = parts && ((tile) => {
        const part = piece(tile);
        self.postMessage({ id, part }, [part.rgba.buffer]);
      });
      return rnnic.decode(data, { ...options, model: await models, onTile });
    },
  };

  self.onmessage = async ({ data: request }) => {
    const { id, what } = request;
    try {
      const result = await tasks[what](request);
      self.postMessage({ id, result }, result?.data ? [result.data.buffer] : []);
    } catch (error) {
      self.postMessage({ id, error: { name: error.name, message: error.message } });
    }
  };
}

if (isWorker) serve();

/** A decoder in a worker of its own. */
export class RemoteDecoder {
  #worker;
  #waiting = new Map();
  #last = 0;

  /** `urls` are those of model files. */
  constructor(urls) {
    this.#worker = new Worker(import.meta.url, { type: "module" });
    this.#worker.onmessage = ({ data }) => this.#answer(data);
    this.#worker.onerror = (event) => this.close(new Error(event.message || "the worker could not be started"));
    /** Fulfilled when the models are there. */
    this.ready = this.#ask({ what: "model", urls: urls.map((url) => new URL(url, document.baseURI).href) });
  }

  #answer({ id, part, result, error }) {
    const request = this.#waiting.get(id);
    if (!request) return;
    if (part) {
      request.onPart(part);
      return;
    }
    this.#waiting.delete(id);
    if (error) request.fail(Object.assign(new (rnnic[error.name] ?? Error)(error.message), error.name in rnnic ? {} : { name: error.name }));
    else request.succeed(result);
  }

  #ask(request, onPart = null) {
    const id = ++this.#last;
    return new Promise((succeed, fail) => {
      this.#waiting.set(id, { succeed, fail, onPart });
      this.#worker.postMessage({ ...request, id });
    });
  }

  /** As `info` of rnnic.js. */
  info(data, options = {}) {
    return this.#ask({ what: "info", data, options });
  }

  /** As `decode` of rnnic.js, without `model` and `onTile`; `onPart` gets `{x, y, width, height, done, of, rgba}` for every tile. */
  decode(data, options = {}, onPart = null) {
    return this.#ask({ what: "decode", data, options, parts: onPart !== null }, onPart);
  }

  /** End the worker; what it has not answered fails. */
  close(reason = new Error("the decoder was closed")) {
    this.#worker.terminate();
    for (const { fail } of this.#waiting.values()) fail(reason);
    this.#waiting.clear();
  }
}

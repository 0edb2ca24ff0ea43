/** A picture on a canvas that one zooms and moves: by wheel, drag, two fingers and keys. */

const CLOSEST = 64; // canvas pixels a pixel

export class Stage {
  #canvas;
  #context;
  #pointers = new Map();
  #fitted = true;
  #wanted = false;
  #colours = {};

  /** `onZoom` is told the scale after every change. */
  constructor(canvas, onZoom) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
    this.onZoom = onZoom;
    this.width = 0; // of the picture
    this.height = 0;
    this.scale = 1; // CSS pixels a pixel
    this.x = 0; // of its upper left corner, in CSS pixels
    this.y = 0;
    this.picture = null; // canvas or bitmap, drawn at the picture's size
    this.other = null; // what it is compared with, right of the split
    this.split = 0.5;
    this.tiles = null; // boxes to outline
    new ResizeObserver(() => this.#resize()).observe(canvas);
    this.#listen();
    this.recolour();
  }

  /** Read the colours of the page's theme anew. */
  recolour() {
    const style = getComputedStyle(this.#canvas);
    for (const name of ["--checker-a", "--checker-b", "--accent"]) this.#colours[name] = style.getPropertyValue(name).trim();
    this.draw();
  }

  #resize() {
    const { clientWidth, clientHeight } = this.#canvas;
    this.#canvas.width = Math.round(clientWidth * devicePixelRatio);
    this.#canvas.height = Math.round(clientHeight * devicePixelRatio);
    if (this.#fitted) this.fit();
    else this.#settle();
  }

  setSize(width, height) {
    [this.width, this.height] = [width, height];
    this.fit();
  }

  fit() {
    const { clientWidth: w, clientHeight: h } = this.#canvas;
    if (!this.width || !w || !h) return;
    this.scale = Math.min((w - 24) / this.width, (h - 24) / this.height, 8);
    this.x = (w - this.width * this.scale) / 2;
    this.y = (h - this.height * this.scale) / 2;
    this.#fitted = true;
    this.#settle();
  }

  /** Zoom, keeping the place (x, y) of the canvas, its middle where none is given. */
  zoomTo(scale, x = this.#canvas.clientWidth / 2, y = this.#canvas.clientHeight / 2) {
    if (!this.width) return;
    const least = Math.min(1, 32 / Math.max(this.width, this.height));
    const next = Math.min(CLOSEST, Math.max(least, scale));
    this.x = x - ((x - this.x) * next) / this.scale;
    this.y = y - ((y - this.y) * next) / this.scale;
    this.scale = next;
    this.#fitted = false;
    this.#settle();
  }

  move(dx, dy) {
    this.x += dx;
    this.y += dy;
    this.#fitted = false;
    this.#settle();
  }

  /** Keep a part of the picture in sight, then draw. */
  #settle() {
    const { clientWidth: w, clientHeight: h } = this.#canvas;
    const margin = 48;
    this.x = Math.min(w - margin, Math.max(margin - this.width * this.scale, this.x));
    this.y = Math.min(h - margin, Math.max(margin - this.height * this.scale, this.y));
    this.onZoom(this.scale);
    this.draw();
  }

  #listen() {
    const canvas = this.#canvas;
    const place = ({ clientX, clientY }) => {
      const box = canvas.getBoundingClientRect();
      return [clientX - box.left, clientY - box.top];
    };
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const lines = event.deltaMode === 1 ? 16 : 1;
      this.zoomTo(this.scale * 2 ** (-event.deltaY * lines / 300), ...place(event));
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      this.#pointers.set(event.pointerId, place(event));
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = this.#pointers.get(event.pointerId);
      if (!before) return;
      const now = place(event);
      if (this.#pointers.size === 1) this.move(now[0] - before[0], now[1] - before[1]);
      else {
        const fixed = [...this.#pointers].find(([id]) => id !== event.pointerId)[1];
        const distance = ([x, y]) => Math.hypot(x - fixed[0], y - fixed[1]) || 1;
        this.zoomTo(this.scale * distance(now) / distance(before), ...fixed);
      }
      this.#pointers.set(event.pointerId, now);
    });
    for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, (event) => this.#pointers.delete(event.pointerId));
    canvas.addEventListener("dblclick", (event) => (this.#fitted ? this.zoomTo(1, ...place(event)) : this.fit()));
    const keys = {
      "+": () => this.zoomTo(this.scale * 1.5), "=": () => this.zoomTo(this.scale * 1.5), "-": () => this.zoomTo(this.scale / 1.5),
      0: () => this.fit(), 1: () => this.zoomTo(1),
      ArrowLeft: () => this.move(60, 0), ArrowRight: () => this.move(-60, 0), ArrowUp: () => this.move(0, 60), ArrowDown: () => this.move(0, -60),
    };
    canvas.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.metaKey || !(event.key in keys)) return;
      event.preventDefault();
      keys[event.key]();
    });
  }

  /** Draw with the next frame. */
  draw() {
    if (this.#wanted) return;
    this.#wanted = true;
    requestAnimationFrame(() => {
      this.#wanted = false;
      this.#paint();
    });
  }

  #paint() {
    const context = this.#context;
    const ratio = devicePixelRatio;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    if (!this.picture) return;
    const [w, h] = [this.width * this.scale, this.height * this.scale];
    this.#checker(w, h);
    const smooth = (source) => { context.imageSmoothingEnabled = (source.width * ratio > 0) && (this.scale * ratio * this.width) / source.width < 2; };
    context.imageSmoothingQuality = "high";
    smooth(this.picture);
    context.drawImage(this.picture, this.x, this.y, w, h);
    if (this.other) {
      const edge = this.split * this.#canvas.clientWidth;
      context.save();
      context.beginPath();
      context.rect(edge, 0, this.#canvas.clientWidth - edge, this.#canvas.clientHeight);
      context.clip();
      this.#checker(w, h);
      smooth(this.other);
      context.drawImage(this.other, this.x, this.y, w, h);
      context.restore();
      context.fillStyle = this.#colours["--accent"];
      context.fillRect(edge - 1, 0, 2, this.#canvas.clientHeight);
    }
    if (this.tiles) {
      context.strokeStyle = this.#colours["--accent"];
      context.lineWidth = 1;
      for (const { x, y, width, height } of this.tiles) {
        context.strokeRect(this.x + x * this.scale, this.y + y * this.scale, width * this.scale, height * this.scale);
      }
    }
  }

  /** What transparent parts are seen on. */
  #checker(w, h) {
    const context = this.#context;
    context.save();
    context.beginPath();
    context.rect(this.x, this.y, w, h);
    context.clip();
    context.fillStyle = this.#colours["--checker-a"];
    context.fill();
    context.fillStyle = this.#colours["--checker-b"];
    const [left, top] = [Math.max(0, this.x), Math.max(0, this.y)];
    const [right, bottom] = [Math.min(this.#canvas.clientWidth, this.x + w), Math.min(this.#canvas.clientHeight, this.y + h)];
    const side = 12;
    for (let y = Math.floor(top / side); y * side < bottom; y++) {
      for (let x = Math.floor(left / side); x * side < right; x++) if ((x + y) & 1) context.fillRect(x * side, y * side, side, side);
    }
    context.restore();
  }
}

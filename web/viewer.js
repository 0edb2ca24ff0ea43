/** The page: shows a file from coarse to fine, beside another image if wanted; everything stays in the browser. */

const MODEL = new URL("default.rnnm", import.meta.url).href;
const PLAIN = { FormatError: "This is not a valid RNNIC file", TruncatedError: "The file is cut off", ChecksumError: "The file is damaged",
  ModelMissingError: "The model that this file needs is not here", LimitError: "The file asks for more than this page allows" };
const MAX_SCALE = 64;

const of = (id) => document.getElementById(id);
const stage = of("stage");
const canvas = of("canvas");
const context = canvas.getContext("2d");
const worker = new Worker(new URL("worker.js", import.meta.url), { type: "module" });

let request = 0;
let name = "image";
let shown = null; // {bitmap, width, height, reduce}, of the whole image at some size
let told = null; // what info() says
let other = null; // the image to compare with
let view = { scale: 1, x: 0, y: 0, fitted: true }; // device pixels per image pixel, place of the image's corner

// ------------------------------------------------------------------ files

async function show(data, title) {
  request += 1;
  name = title.replace(/\.rnnic$/i, "");
  shown?.bitmap.close();
  shown = told = other = null;
  view.fitted = true;
  of("error").hidden = of("hint").hidden = true;
  of("split").hidden = of("details").hidden = true;
  of("save").disabled = true;
  document.title = `${title} - RNNIC viewer`;
  worker.postMessage({ id: request, data, model: MODEL }, [data]);
  draw();
}

const open = async (file) => show(await file.arrayBuffer(), file.name);

async function compare(file) {
  try {
    other = await createImageBitmap(file);
    of("split").hidden = false;
    draw();
  } catch {
    fail({ name: "", message: `${file.name} is no image that this browser can show.` });
  }
}

function fail({ name: kind, message }) {
  of("error").textContent = kind ? `${PLAIN[kind] ?? "It cannot be shown"} (${kind}): ${message}` : message;
  of("error").hidden = false;
}

worker.onmessage = async ({ data: { id, info, image, done, error } }) => {
  if (id !== request) return;
  if (info) describe((told = info));
  if (image) {
    const bitmap = await createImageBitmap(new ImageData(image.rgba, image.width, image.height));
    if (id !== request) return bitmap.close();
    shown?.bitmap.close();
    shown = { ...image, bitmap };
    of("state").textContent = image.reduce ? `1/${2 ** image.reduce} of the size ...` : "";
    of("save").disabled = image.reduce > 0;
    draw();
  }
  if (done) {
    const speed = (told.width * told.height) / done.ms / 1000;
    of("state").textContent = `decoded in ${done.ms.toFixed(0)} ms (${speed.toFixed(1)} MP/s)`;
    document.body.dataset.done = name;
  }
  if (error) fail(error);
};
worker.onerror = (event) => fail({ name: "", message: `The decoder failed: ${event.message}` });

function describe(info) {
  const bytes = info.tiles.reduce((sum, tile) => sum + tile.length, 0);
  const kinds = { 1: "grey", 2: "grey and alpha", 3: "RGB", 4: "RGB and alpha" };
  const metadata = ["exif", "icc", "xmp"].filter((kind) => info.metadata[kind]).map((kind) => `${kind.toUpperCase()} ${info.metadata[kind].length} bytes`);
  const lengths = info.tiles.map((tile) => tile.length);
  const rows = {
    Size: `${info.width} x ${info.height}`,
    Pixels: `${kinds[info.channels]}, ${info.bitDepth} bits`,
    Method: info.method,
    ...Object.fromEntries(Object.entries(info.parameters).map(([key, value]) => [key, String(value)])),
    Tiles: `${info.columns} x ${info.rows} of ${info.tileSize}`,
    "Tiles' bytes": lengths.length > 1 ? `${bytes} (${Math.min(...lengths)} to ${Math.max(...lengths)})` : `${bytes}`,
    "Bits per pixel": ((8 * bytes) / (info.width * info.height)).toFixed(3),
    Metadata: metadata.join(", ") || "none",
    ...info.metadata.text,
    Model: info.modelId,
  };
  of("header").replaceChildren(...Object.entries(rows).map(([key, value]) => {
    const row = document.createElement("tr");
    const head = document.createElement("th");
    const cell = document.createElement("td");
    head.textContent = key;
    cell.textContent = value;
    row.append(head, cell);
    return row;
  }));
  of("details").hidden = false;
}

// ------------------------------------------------------------------ drawing

function fit() {
  const scale = Math.min(canvas.width / told.width, canvas.height / told.height, MAX_SCALE);
  view = { scale, x: (canvas.width - told.width * scale) / 2, y: (canvas.height - told.height * scale) / 2, fitted: true };
}

function draw() {
  canvas.width = Math.max(1, Math.round(stage.clientWidth * devicePixelRatio));
  canvas.height = Math.max(1, Math.round(stage.clientHeight * devicePixelRatio));
  if (!shown || !told) return;
  if (view.fitted) fit();
  const place = [view.x, view.y, told.width * view.scale, told.height * view.scale];
  context.imageSmoothingEnabled = shown.reduce > 0 || view.scale < 1;
  context.imageSmoothingQuality = "high";
  context.drawImage(shown.bitmap, ...place);
  if (other) {
    const cut = (canvas.width * of("split").value) / 1000;
    context.save();
    context.beginPath();
    context.rect(cut, 0, canvas.width - cut, canvas.height);
    context.clip();
    context.clearRect(...place);
    context.drawImage(other, ...place);
    context.restore();
    context.fillStyle = "#fff8";
    context.fillRect(cut - 1, 0, 2, canvas.height);
  }
  if (of("tiles").checked) {
    context.strokeStyle = "#f40a";
    context.lineWidth = Math.max(1, devicePixelRatio);
    for (const { x, y, width, height } of told.tiles) {
      context.strokeRect(view.x + x * view.scale, view.y + y * view.scale, width * view.scale, height * view.scale);
    }
  }
}

/** Zoom by a factor about a point of the canvas. */
function zoom(factor, x, y) {
  if (!told) return;
  const scale = Math.min(Math.max(view.scale * factor, 1 / 64), MAX_SCALE);
  const ratio = scale / view.scale;
  view = { scale, x: x - (x - view.x) * ratio, y: y - (y - view.y) * ratio, fitted: false };
  draw();
}

async function save() {
  const whole = new OffscreenCanvas(told.width, told.height);
  whole.getContext("2d").drawImage(shown.bitmap, 0, 0);
  const link = document.createElement("a");
  link.href = URL.createObjectURL(await whole.convertToBlob({ type: "image/png" }));
  link.download = `${name}.png`;
  link.click();
  URL.revokeObjectURL(link.href);
}

// ------------------------------------------------------------------ what the user does

of("open").onchange = ({ target }) => target.files[0] && open(target.files[0]);
of("compare").onchange = ({ target }) => target.files[0] && compare(target.files[0]);
of("fit").onclick = () => {
  view.fitted = true;
  draw();
};
of("actual").onclick = () => zoom(1 / view.scale, canvas.width / 2, canvas.height / 2);
of("tiles").onchange = of("split").oninput = draw;
of("save").onclick = save;
new ResizeObserver(draw).observe(stage);

stage.addEventListener("dragover", (event) => {
  event.preventDefault();
  stage.classList.add("over");
});
stage.addEventListener("dragleave", () => stage.classList.remove("over"));
stage.addEventListener("drop", (event) => {
  event.preventDefault();
  stage.classList.remove("over");
  const [file] = event.dataTransfer.files;
  if (file) (file.type.startsWith("image/") && !/\.rnnic$/i.test(file.name) && told ? compare : open)(file);
});
canvas.addEventListener("wheel", (event) => {
  event.preventDefault();
  zoom(Math.exp(-event.deltaY / 300), event.offsetX * devicePixelRatio, event.offsetY * devicePixelRatio);
}, { passive: false });
stage.addEventListener("keydown", ({ key }) => {
  const factor = { "+": 1.25, "=": 1.25, "-": 0.8 }[key];
  if (factor) zoom(factor, canvas.width / 2, canvas.height / 2);
});

const fingers = new Map();
canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  fingers.set(event.pointerId, event);
});
canvas.addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId);
  if (!before || !told) return;
  const [first, second] = fingers.values();
  const spread = () => Math.hypot(first.offsetX - second.offsetX, first.offsetY - second.offsetY);
  if (fingers.size === 1) {
    view = { ...view, fitted: false, x: view.x + (event.offsetX - before.offsetX) * devicePixelRatio, y: view.y + (event.offsetY - before.offsetY) * devicePixelRatio };
    fingers.set(event.pointerId, event);
    draw();
  } else if (fingers.size === 2) {
    const was = spread();
    const rest = first === before ? second : first;
    const now = Math.hypot(event.offsetX - rest.offsetX, event.offsetY - rest.offsetY);
    fingers.set(event.pointerId, event);
    zoom(now / Math.max(was, 1), ((event.offsetX + rest.offsetX) / 2) * devicePixelRatio, ((event.offsetY + rest.offsetY) / 2) * devicePixelRatio);
  }
});
for (const kind of ["pointerup", "pointercancel"]) canvas.addEventListener(kind, (event) => fingers.delete(event.pointerId));

// `rnnic view` lists its files; elsewhere there is no such list.
const list = await fetch("files.json").then((answer) => (answer.ok ? answer.json() : []), () => []);
if (list.length) {
  const samples = of("samples");
  samples.append(...list.map(({ name: title, url }) => new Option(title, url)));
  samples.hidden = list.length < 2;
  const load = async () => {
    const answer = await fetch(samples.value);
    if (answer.ok) await show(await answer.arrayBuffer(), samples.selectedOptions[0].text);
    else fail({ name: "", message: `${samples.selectedOptions[0].text}: ${answer.status} ${answer.statusText}` });
  };
  samples.onchange = load;
  await load();
}

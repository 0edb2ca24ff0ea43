/** The viewer's page: files come in, are decoded by a worker from coarse to fine, and are shown with what they say of themselves. */

import { MAX_REDUCE, RnnicError, toRgba } from "./rnnic.js";
import { pngOf } from "./png.js";
import { Stage } from "./stage.js";
import { RemoteDecoder } from "./worker.js";

const MOST_SHOWN = 2 ** 26; // pixels that a canvas is made of; larger images are shown at a fraction of their size
const PLAIN = {
  FormatError: "This is not a valid RNNIC file, or one that needs a newer decoder.",
  TruncatedError: "The file ends too early: fetch or copy it again.",
  ChecksumError: "The file is damaged: fetch or copy it again.",
  ModelMissingError: "The file was made with a model that is not at hand here.",
  LimitError: "The file asks for more than a limit allows.",
  OptionError: "The decoder was asked for something that has no meaning.",
  DOMException: "The browser could not read this picture.",
};
const KINDS = ["", "grey", "grey and alpha", "RGB", "RGB and alpha"];

const $ = (id) => document.getElementById(id);
const count = (n, unit) => `${n.toLocaleString("en")} ${unit}${n === 1 ? "" : "s"}`;
const kilobytes = (bytes) => (bytes < 1000 ? count(bytes, "byte") : bytes < 1e6 ? `${(bytes / 1e3).toFixed(1)} kB` : `${(bytes / 1e6).toFixed(2)} MB`);

const stage = new Stage($("stage"), (scale) => { $("zoom").textContent = `${Math.round(scale * 100)} %`; });
const decoder = new RemoteDecoder(["default.rnnm"]);
let turn = 0; // of the file shown; what comes for an earlier one is dropped
let shown = null; // {name, size, info, pictures by level, image}
let other = null; // {name, bitmap}

// ---------------------------------------------------------------- what is said

function complain(error, name) {
  if (!(error instanceof RnnicError) && !(error instanceof DOMException) && !(error instanceof TypeError)) console.error(error);
  const kind = error instanceof DOMException ? "DOMException" : error.name;
  $("problem-kind").textContent = `${name}: ${error.name}`;
  $("problem-text").textContent = PLAIN[kind] ? `${PLAIN[kind]} (${error.message})` : error.message;
  $("problem").hidden = false;
  say(`${name} could not be opened.`);
  $("progress").value = 0;
}

function say(text) {
  $("status").textContent = text;
}

function fact(list, name, value) {
  const term = document.createElement("dt");
  const text = document.createElement("dd");
  term.textContent = name;
  text.textContent = value;
  list.append(term, text);
}

function describe({ name, size, info }) {
  const list = $("facts");
  list.replaceChildren();
  const pixels = info.width * info.height;
  const samples = pixels * info.channels * (info.bitDepth / 8);
  fact(list, "File", `${name}, ${kilobytes(size)}`);
  fact(list, "Pixels", `${info.width} × ${info.height}, ${KINDS[info.channels]}, ${info.bitDepth} bits`);
  fact(list, "Coded in", `${((8 * size) / pixels).toFixed(3)} bits a pixel, ${(samples / size).toFixed(1)} to 1`);
  fact(list, "Method", info.method);
  for (const [key, value] of Object.entries(info.parameters)) fact(list, key.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`), +value.toFixed(4));
  fact(list, "Tiles", `${info.columns} × ${info.rows} of ${info.tileSize} × ${info.tileSize}`);
  fact(list, "Model", info.modelId);
  const { exif, icc, xmp, text } = info.metadata;
  for (const [key, value] of [["EXIF", exif], ["ICC profile", icc], ["XMP", xmp]]) if (value) fact(list, key, kilobytes(value.length));
  for (const [key, value] of Object.entries(text)) fact(list, key, value);
}

/** A picture of the tiles: the darker, the more bytes a pixel. */
function drawLayout({ columns, rows, tiles }) {
  const figure = $("layout");
  const canvas = figure.querySelector("canvas");
  const density = tiles.map((tile) => tile.length / (tile.width * tile.height));
  const most = Math.max(...density.slice(0, 100000));
  const side = Math.max(1, Math.floor(300 / Math.max(columns, rows)));
  figure.hidden = tiles.length < 2 || Math.max(columns, rows) > 2000;
  if (figure.hidden) return;
  canvas.width = columns * side;
  canvas.height = rows * side;
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const gap = side > 4 ? 1 : 0;
  density.forEach((value, i) => {
    const [x, y] = [(i % columns) * side, Math.floor(i / columns) * side];
    context.globalAlpha = 1;
    context.fillStyle = style.getPropertyValue("--line");
    context.fillRect(x, y, side - gap, side - gap);
    context.globalAlpha = value / most;
    context.fillStyle = style.getPropertyValue("--accent");
    context.fillRect(x, y, side - gap, side - gap);
  });
  const sizes = tiles.map((tile) => tile.length);
  figure.querySelector("figcaption").textContent = `Bytes a pixel by tile: ${kilobytes(Math.min(...sizes))} to ${kilobytes(Math.max(...sizes))} a tile`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", figure.textContent.trim());
}

// ---------------------------------------------------------------- decoding

const canvasOf = (width, height) => Object.assign(document.createElement("canvas"), { width, height });

function put(canvas, rgba, width, height, x = 0, y = 0) {
  canvas.getContext("2d").putImageData(new ImageData(rgba, width, height), x, y);
}

/** Levels to decode, from coarse to fine; method raster cannot stop early. */
function levelsOf({ width, height, method }) {
  let finest = 0;
  while (finest < MAX_REDUCE && Math.ceil(width / 2 ** finest) * Math.ceil(height / 2 ** finest) > MOST_SHOWN) finest++;
  if (method === "raster") return [finest];
  return Array.from({ length: MAX_REDUCE - finest + 1 }, (_, i) => MAX_REDUCE - i);
}

async function open(name, getData) {
  const own = ++turn;
  const isStale = () => own !== turn;
  $("problem").hidden = true;
  delete document.body.dataset.done;
  say(`Opening ${name} …`);
  $("progress").removeAttribute("value");
  try {
    const data = await getData();
    await decoder.ready;
    const info = await decoder.info(data);
    if (isStale()) return;
    const file = { name, size: data.byteLength, info, pictures: new Map(), image: null };
    begin(file);
    const started = performance.now();
    const levels = levelsOf(info);
    for (const reduce of levels) await level(file, data, reduce, isStale);
    if (isStale()) return;
    const finest = levels.at(-1);
    const ms = Math.round(performance.now() - started);
    say(`Decoded in ${ms} ms${finest ? `, shown at 1/${2 ** finest} of its size` : ""}.`);
    $("save").disabled = finest !== 0;
    $("progress").value = 1;
    document.body.dataset.done = name;
    measure();
  } catch (error) {
    if (!isStale()) complain(error, name);
  }
}

/** Show what is known before a pixel is decoded. */
function begin(file) {
  shown = file;
  other = null;
  const { info, name } = file;
  document.title = `${name} – RNNIC viewer`;
  $("hint").hidden = true;
  $("stage").setAttribute("aria-label", `${name}, ${info.width} by ${info.height} pixels`);
  for (const id of ["zoom-in", "zoom-out", "zoom-fit", "zoom-one", "show-tiles", "level"]) $(id).disabled = false;
  $("compare").disabled = false;
  $("save").disabled = true;
  $("level").replaceChildren();
  stage.picture = null;
  stage.setSize(info.width, info.height);
  showTiles();
  showOther();
  describe(file);
  drawLayout(info);
}

async function level(file, data, reduce, isStale) {
  if (isStale()) return;
  const [width, height] = [file.info.width, file.info.height].map((side) => Math.ceil(side / 2 ** reduce));
  const picture = canvasOf(width, height);
  const isFinest = reduce === 0;
  if (isFinest) {
    const coarse = stage.picture;
    if (coarse) picture.getContext("2d").drawImage(coarse, 0, 0, width, height);
    showLevel(file, picture, reduce);
  }
  const onPart = isFinest && ((part) => {
    if (isStale()) return;
    picture.getContext("2d").clearRect(part.x, part.y, part.width, part.height);
    put(picture, part.rgba, part.width, part.height, part.x, part.y);
    $("progress").value = part.done / part.of;
    stage.draw();
  });
  const image = await decoder.decode(data, { reduce }, onPart || null);
  if (isStale()) return;
  if (isFinest) file.image = image;
  else put(picture, toRgba(image), width, height);
  if (!isFinest) showLevel(file, picture, reduce);
  stage.draw();
}

function showLevel(file, picture, reduce) {
  file.pictures.set(reduce, picture);
  stage.picture = picture;
  const option = new Option(reduce ? `1/${2 ** reduce}` : "full", reduce, true, true);
  $("level").append(option);
}

async function save() {
  const { image, info, name } = shown;
  say("Making the PNG …");
  const blob = await pngOf(image, info.metadata);
  const link = Object.assign(document.createElement("a"), { href: URL.createObjectURL(blob), download: `${name.replace(/\.rnnic$/i, "")}.png` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  say(`Saved ${link.download}, ${kilobytes(blob.size)}.`);
}

// ---------------------------------------------------------------- comparing

async function compareWith(name, getBlob) {
  $("problem").hidden = true;
  try {
    const bitmap = await createImageBitmap(await getBlob(), { premultiplyAlpha: "none", colorSpaceConversion: "none" });
    other = { name, bitmap };
    showOther();
    measure();
  } catch (error) {
    complain(error, name);
  }
}

function showOther() {
  stage.other = other?.bitmap ?? null;
  for (const id of ["split", "name-left", "name-right"]) $(id).hidden = !other;
  $("difference").hidden = true;
  $("name-left").textContent = shown?.name ?? "";
  $("name-right").textContent = other?.name ?? "";
  setSplit(0.5);
}

/** Say how far the image is from what it is compared with. */
function measure() {
  const box = $("difference");
  if (!other || !shown?.image) return;
  const { bitmap, name } = other;
  const { width, height } = shown.image;
  box.hidden = false;
  if (bitmap.width !== width || bitmap.height !== height) {
    box.textContent = `${name} has ${bitmap.width} × ${bitmap.height} pixels: it is stretched over the image.`;
    return;
  }
  const canvas = canvasOf(width, height);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  const wanted = context.getImageData(0, 0, width, height).data;
  const got = toRgba(shown.image);
  let sum = 0;
  let most = 0;
  for (let i = 0; i < got.length; i++) {
    if ((i & 3) === 3) continue;
    const difference = Math.abs(got[i] - wanted[i]);
    sum += difference * difference;
    if (difference > most) most = difference;
  }
  const psnr = 10 * Math.log10((255 * 255 * 3 * width * height) / sum);
  box.textContent = sum === 0 ? `Equal to ${name}, at 8 bits.` : `PSNR ${psnr.toFixed(2)} dB against ${name}, no sample off by more than ${most} (at 8 bits).`;
}

function setSplit(share) {
  stage.split = Math.min(1, Math.max(0, share));
  $("split").style.left = `${stage.split * 100}%`;
  $("split").setAttribute("aria-valuenow", Math.round(stage.split * 100));
  stage.draw();
}

function showTiles() {
  stage.tiles = $("show-tiles").checked && shown ? shown.info.tiles : null;
  stage.draw();
}

// ---------------------------------------------------------------- controls

const isPicture = (name) => /\.(png|jpe?g|webp|avif|gif|bmp)$/i.test(name);

function take(files) {
  for (const file of files) {
    if (!isPicture(file.name)) open(file.name, () => file.arrayBuffer());
    else if (shown) compareWith(file.name, () => file);
    else complain(new TypeError("Open a .rnnic file first; a picture is what it is compared with."), file.name);
  }
}

async function fetched(url) {
  const answer = await fetch(url);
  if (!answer.ok) throw new TypeError(`${url}: ${answer.status} ${answer.statusText}`);
  return answer;
}

const listIn = async (url) => {
  const answer = await fetch(url);
  return answer.ok ? answer.json() : []; // a page may be without
};

/** Files that were given to the page, a list of {name, url, picture} in files.json, and the samples that come with it. */
async function fillShelf() {
  const [files, samples] = await Promise.all(["files.json", "samples/samples.json"].map(listIn));
  const given = files.length;
  for (const { name } of samples) files.push({ name, url: `samples/${name}`, picture: false });
  const choose = $("files");
  choose.append(new Option("Choose a file…", "", true, true));
  choose.options[0].disabled = true;
  const group = Object.assign(document.createElement("optgroup"), { label: "Samples" });
  files.forEach(({ name, picture }, i) => (i < given ? choose : group).append(new Option(picture ? `compare with ${name}` : name, i)));
  if (samples.length) choose.append(group);
  $("shelf").hidden = files.length === 0;
  const pick = ({ name, url, picture }) => (picture
    ? shown && compareWith(name, async () => (await fetched(url)).blob())
    : open(name, async () => (await fetched(url)).arrayBuffer()));
  choose.addEventListener("change", () => pick(files[choose.value]));
  const first = files.findIndex(({ picture }, i) => !picture && i < given);
  if (first < 0) {
    offer(samples, (i) => {
      choose.value = given + i;
      return pick(files[given + i]);
    });
    return;
  }
  choose.value = first;
  await pick(files[first]);
}

/** A button for each sample, as long as nothing is open. */
function offer(samples, pick) {
  $("samples").hidden = samples.length === 0;
  samples.forEach(({ title, about }, i) => {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: title });
    button.append(Object.assign(document.createElement("small"), { textContent: about }));
    button.addEventListener("click", async () => {
      await pick(i);
      if ($("hint").hidden) $("stage").focus(); // the button is gone
    });
    $("samples").append(button);
  });
}

$("open").addEventListener("click", () => $("open-file").click());
$("compare").addEventListener("click", () => $("compare-file").click());
for (const id of ["open-file", "compare-file"]) {
  $(id).addEventListener("change", () => {
    if (id === "open-file") for (const file of $(id).files) open(file.name, () => file.arrayBuffer());
    else for (const file of $(id).files) compareWith(file.name, () => file);
    $(id).value = "";
  });
}
$("save").addEventListener("click", () => save().catch((error) => complain(error, shown.name)));
$("problem-close").addEventListener("click", () => { $("problem").hidden = true; });
$("zoom-in").addEventListener("click", () => stage.zoomTo(stage.scale * 1.5));
$("zoom-out").addEventListener("click", () => stage.zoomTo(stage.scale / 1.5));
$("zoom-fit").addEventListener("click", () => stage.fit());
$("zoom-one").addEventListener("click", () => stage.zoomTo(1));
$("show-tiles").addEventListener("change", showTiles);
$("level").addEventListener("change", () => {
  stage.picture = shown.pictures.get(Number($("level").value));
  stage.draw();
});

const split = $("split");
split.addEventListener("pointerdown", (event) => split.setPointerCapture(event.pointerId));
split.addEventListener("pointermove", (event) => {
  if (!split.hasPointerCapture(event.pointerId)) return;
  const box = $("view").getBoundingClientRect();
  setSplit((event.clientX - box.left) / box.width);
});
split.addEventListener("keydown", (event) => {
  const by = { ArrowLeft: -0.02, ArrowRight: 0.02 }[event.key];
  if (!by) return;
  event.preventDefault();
  setSplit(stage.split + by);
});

addEventListener("dragover", (event) => {
  event.preventDefault();
  $("view").classList.add("over");
});
addEventListener("dragleave", () => $("view").classList.remove("over"));
addEventListener("drop", (event) => {
  event.preventDefault();
  $("view").classList.remove("over");
  take(event.dataTransfer.files);
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  stage.recolour();
  if (shown) drawLayout(shown.info);
});
decoder.ready.catch((error) => complain(error, "default.rnnm"));
fillShelf().catch((error) => complain(error, "files.json"));

"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const NS = "http://www.w3.org/2000/svg";
const $ = (id) => document.getElementById(id);
const codecs = new Map(data.codecs.map((codec) => [codec.name, codec]));
const colour = (name) => `var(--c${codecs.get(name).colour})`;
const label = (name) => codecs.get(name).label;

function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "style") node.style.cssText = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function draw(parent, tag, attributes, text) {
  const node = document.createElementNS(NS, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  parent.append(node);
  return node;
}

const number = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));
const signed = (value) => (value === null || value === undefined ? "–" : (value > 0 ? "+" : value < 0 ? "−" : "") + Math.abs(value).toFixed(1));
const speed = (value) => number(value, value >= 10 ? 0 : value >= 1 ? 1 : 2);
const bytes = (value) => value.toString().replace(/\B(?=(\d{3})+$)/g, "\u202f");
const named = (name) => [make("span", { class: "swatch", style: `background:${colour(name)}` }), label(name)];

function fill(table, heads, rows) {
  const body = make("tbody");
  for (const row of rows) {
    const line = make("tr", row.own ? { class: "own" } : {});
    row.cells.forEach((cell) => {
      const plain = typeof cell === "string" || Array.isArray(cell);
      line.append(plain ? make("td", {}, ...[].concat(cell)) : cell);
    });
    body.append(line);
  }
  const heading = make("tr", {}, ...heads.map((head) => make("th", { scope: "col" }, ...[].concat(head))));
  table.replaceChildren(make("thead", {}, heading), body);
}

function choice(parent, text, options, change) {
  const select = make("select", { onchange: () => change(select.value) });
  for (const [value, name] of options) select.append(make("option", { value }, name));
  parent.append(make("label", {}, text + " ", select));
  return select;
}

// Hints at the pointer.

const tip = make("div", { class: "tip", hidden: "" });
document.body.append(tip);
function hint(node, lines) {
  node.addEventListener("pointerenter", (event) => {
    tip.replaceChildren(...lines.map((line, index) => make(index ? "div" : "strong", {}, line)));
    tip.hidden = false;
    const left = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    tip.style.left = `${left}px`;
    tip.style.top = `${Math.max(8, event.clientY - tip.offsetHeight - 10)}px`;
  });
  node.addEventListener("pointerleave", () => { tip.hidden = true; });
}

// Scales and charts.

function ticks(low, high, log, count) {
  const found = [];
  if (log) {
    const span = Math.log10(high / low);
    if (span < 0.9) return ticks(low, high, false, 6);
    const wide = span > 2.2;
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      for (const digit of wide ? [1, 3] : [1, 2, 5]) {
        const value = digit * 10 ** power;
        if (value >= low * 0.999 && value <= high * 1.001) found.push(value);
      }
    }
    return found;
  }
  const rough = (high - low) / count;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((factor) => factor * unit >= rough);
  for (let value = Math.ceil(low / step) * step; value <= high + step / 1e6; value += step) found.push(value);
  return found;
}

const tidy = (value) => String(Number(value.toPrecision(4)));

function frame(box, options) {
  const { width, height, x, y } = options;
  const edge = options.small ? { left: 34, right: 8, top: 6, bottom: 22 } : { left: 58, right: 18, top: 14, bottom: 46 };
  const size = options.small ? 11 : options.font;
  const svg = draw(box, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": options.title });
  const inner = { left: edge.left, right: width - edge.right, top: edge.top, bottom: height - edge.bottom };
  const scale = (axis, from, to) => {
    const f = axis.log ? Math.log : Number;
    return (value) => from + ((f(value) - f(axis.low)) / (f(axis.high) - f(axis.low) || 1)) * (to - from);
  };
  const place = { x: scale(x, inner.left, inner.right), y: scale(y, inner.bottom, inner.top) };
  for (const value of ticks(x.low, x.high, x.log, options.small ? 3 : 8)) {
    const at = place.x(value);
    draw(svg, "line", { class: "axis", x1: at, x2: at, y1: inner.top, y2: inner.bottom });
    draw(svg, "text", { x: at, y: inner.bottom + size + 4, "text-anchor": "middle", "font-size": size }, tidy(value));
  }
  for (const value of ticks(y.low, y.high, y.log, options.small ? 5 : 7)) {
    const at = place.y(value);
    draw(svg, "line", { class: "axis", x1: inner.left, x2: inner.right, y1: at, y2: at });
    draw(svg, "text", { x: inner.left - 7, y: at + size / 3, "text-anchor": "end", "font-size": size }, tidy(value));
  }
  if (!options.small) {
    const middle = (inner.top + inner.bottom) / 2;
    draw(svg, "text", { x: (inner.left + inner.right) / 2, y: height - 4, "text-anchor": "middle", "font-size": size }, x.name);
    draw(svg, "text", { x: 0, y: 0, "text-anchor": "middle", "font-size": size, transform: `translate(${size},${middle}) rotate(-90)` }, y.name);
  }
  return { svg, place, inner, size };
}

function reach(values, log, room) {
  const known = values.filter((value) => Number.isFinite(value) && (!log || value > 0));
  const low = Math.min(...known), high = Math.max(...known);
  if (log) return { low: low / (1 + room), high: high * (1 + room), log };
  const gap = (high - low || 1) * room;
  return { low: low - gap, high: high + gap, log };
}

const narrow = () => matchMedia("(max-width: 640px)").matches;

// Curves.

const off = new Set();
let measure = data.measures.length ? data.measures[0].key : null;
let shown = "mean";

function curveChart(box, lines, small, title) {
  box.replaceChildren();
  const about = data.measures.find((one) => one.key === measure);
  const points = Object.entries(lines).filter(([name]) => !off.has(name));
  const all = points.flatMap(([, curve]) => curve);
  if (!all.length) return box.append(make("p", { class: "note" }, "No points."));
  const phone = narrow();
  const view = frame(box, {
    width: small ? 240 : phone ? 380 : 920, height: small ? 165 : phone ? 340 : 470, small, font: 13, title,
    x: { ...reach(all.map((p) => p[0]), true, 0.08), name: "bits per pixel" },
    y: { ...reach(all.map((p) => p[1]), false, 0.04), name: about.name },
  });
  for (const [name, curve] of points.reverse()) {
    const path = curve.map((p) => `${view.place.x(p[0]).toFixed(1)},${view.place.y(p[1]).toFixed(1)}`).join(" ");
    const own = codecs.get(name).own;
    const width = (own ? 2.6 : 1.7) * (small ? 0.7 : 1);
    draw(view.svg, "polyline", { points: path, fill: "none", "stroke-width": width, "stroke-linejoin": "round", style: `stroke:${colour(name)}` });
    if (small) continue;
    for (const p of curve) {
      const spot = { cx: view.place.x(p[0]), cy: view.place.y(p[1]) };
      draw(view.svg, "circle", { ...spot, class: "dot", r: own ? 4.4 : 3.6, style: `fill:${colour(name)}` });
      const target = draw(view.svg, "circle", { ...spot, r: 9, fill: "transparent" });
      hint(target, [label(name), `${p[0].toFixed(3)} bits per pixel`, `${about.name} ${p[1].toFixed(about.digits)}`]);
    }
  }
}

function drawCurves() {
  const lines = data.curves[measure];
  curveChart($("curve-chart"), lines[shown] || {}, false, `Rate-distortion curves, ${shown}`);
  $("curve-grid").replaceChildren(...data.curve_images.map((image) => {
    const box = make("div");
    const cell = make("div", {}, make("h4", {}, image.name), box);
    curveChart(box, lines[image.id] || {}, true, `Rate-distortion curves of ${image.name}`);
    return cell;
  }));
}

if (data.curve_images.length) {
  $("curves").hidden = false;
  const controls = $("curve-controls");
  choice(controls, "Measure", data.measures.map((one) => [one.key, one.name]), (value) => { measure = value; drawCurves(); });
  const images = data.curve_images.map((image) => [image.id, image.name]);
  choice(controls, "Image", [["mean", "mean of all"], ...images], (value) => { shown = value; drawCurves(); });
  for (const name of data.curve_codecs) {
    const button = make("button", { type: "button", "aria-pressed": "true", onclick: () => {
      if (!off.delete(name)) off.add(name);
      button.setAttribute("aria-pressed", String(!off.has(name)));
      drawCurves();
    } }, ...named(name));
    $("curve-legend").append(button);
  }
  drawCurves();
}

// Matched files.

function showMatched(goal) {
  const rows = goal.rows;
  const known = rows.filter((row) => row.ratio !== null);
  const widest = Math.max(...known.map((row) => row.ratio), 0.01);
  $("matched-note").textContent = goal.note;
  fill($("matched-table"), ["Codec", "Ratio", goal.base ? `Bytes / ${label(goal.base)}` : "", "Bytes", "Mean dB", "Enc MP/s", "Dec MP/s"],
    rows.map((row) => {
      const bar = make("div", { class: "track" });
      if (row.ratio !== null) {
        const style = `width:${(100 * row.ratio / widest).toFixed(2)}%;background:${colour(row.codec)}`;
        bar.append(make("div", { class: "fill", style }));
      }
      return { own: codecs.get(row.codec).own, cells: [named(row.codec), number(row.ratio, 3),
        make("td", { class: "bar" }, row.note ? row.note : bar), row.bytes === null ? "–" : bytes(row.bytes), number(row.psnr, 2), speed(row.encode), speed(row.decode)] };
    }));
  const names = rows.filter((row) => row.bytes !== null).map((row) => row.codec);
  fill($("matched-images"), ["Image", "dB", ...names.map(label)], goal.images.map((image) => {
    const ratios = names.map((name) => image.ratios[name] ?? null);
    const best = Math.min(...ratios.filter((value) => value !== null));
    return { cells: [image.name, number(image.psnr, 2), ...ratios.map((value) =>
      make("td", value !== null && value === best ? { class: "best" } : {}, number(value, 3)))] };
  }));
}

if (data.matched.length) {
  $("matched").hidden = false;
  if (data.matched.length > 1) {
    const options = data.matched.map((goal, index) => [index, goal.title]);
    choice($("matched-controls"), "Goal", options, (value) => showMatched(data.matched[value]));
  }
  showMatched(data.matched[0]);
}

// Bytes against speed.

function drawPareto() {
  const pareto = data.pareto;
  const box = $("pareto-chart");
  box.replaceChildren();
  const phone = narrow();
  const points = pareto.points;
  const view = frame(box, {
    width: phone ? 380 : 920, height: phone ? 380 : 460, font: 13, title: "Bytes against decoding speed",
    x: { ...reach(points.map((p) => p.decode), true, 0.45), name: "decoding speed, MP/s, one thread (faster →)" },
    y: { ...reach(points.map((p) => p.size), true, 0.14), name: pareto.size_name },
  });
  const front = points.filter((p) => !points.some((q) => q !== p && q.decode >= p.decode && q.size <= p.size));
  front.sort((a, b) => a.decode - b.decode);
  const path = front.map((p) => `${view.place.x(p.decode)},${view.place.y(p.size)}`).join(" ");
  draw(view.svg, "polyline", { points: path, fill: "none", "stroke-dasharray": "4 5", style: "stroke:var(--soft)" });
  const font = phone ? 10.5 : 13;
  const taken = points.map((p) => [view.place.x(p.decode) - 7, view.place.y(p.size), 14]);
  for (const p of [...points].sort((a, b) => a.size - b.size)) {
    const cx = view.place.x(p.decode), cy = view.place.y(p.size);
    const own = codecs.get(p.codec).own;
    const wide = label(p.codec).length * font * (own ? 0.58 : 0.53);
    const spots = [];
    for (const up of [0, 16, -16, 30, -30, 44, -44]) {
      for (const x of [cx + 12, cx - 12 - wide, cx - wide / 2, cx + 34, cx - 34 - wide]) {
        if (up || x !== cx - wide / 2) spots.push([x, cy + up]);
      }
    }
    const clear = ([x, y]) => x > view.inner.left && x + wide < view.inner.right + 16 && y < view.inner.bottom && y > view.inner.top &&
      taken.every((t) => x + wide < t[0] || t[0] + t[2] < x || Math.abs(y - t[1]) > font);
    const spot = spots.find(clear) || spots[0];
    taken.push([...spot, wide]);
    const end = Math.min(Math.max(cx, spot[0]), spot[0] + wide);
    if (Math.hypot(end - cx, spot[1] - cy) > 22) {
      draw(view.svg, "line", { x1: cx, y1: cy, x2: end, y2: spot[1] + (spot[1] < cy ? 5 : -7), style: "stroke:var(--soft)", "stroke-width": 0.8 });
    }
    const dot = draw(view.svg, "circle", { cx, cy, r: (own ? 8 : 6) * (phone ? 0.75 : 1), class: "dot", style: `fill:${colour(p.codec)}` });
    hint(dot, [label(p.codec), `${p.decode.toFixed(1)} MP/s decoding`, `${pareto.size_name}: ${p.size.toFixed(3)}`]);
    draw(view.svg, "text", { x: spot[0], y: spot[1] + font / 3, "font-size": font, class: "name", "font-weight": own ? 700 : 400 }, label(p.codec));
  }
}

if (data.pareto) {
  $("pareto").hidden = false;
  $("pareto-note").textContent = data.pareto.note;
  drawPareto();
}

// BD-rates.

if (data.bd) {
  $("bd").hidden = false;
  $("bd-note").textContent = data.bd.note;
  fill($("bd-table"), ["Codec", ...data.bd.measures.map((one) => `${one}, %`), "Overlap, %"], data.bd.rows.map((row) =>
    ({ own: codecs.get(row.codec).own, cells: [named(row.codec), ...row.means.map(signed), number(row.overlap === null ? null : 100 * row.overlap, 0)] })));
  fill($("bd-images"), ["Image", ...data.bd.rows.map((row) => label(row.codec))], data.bd.images.map((image) =>
    ({ cells: [image.name, ...image.values.map(signed)] })));
}

// Crops.

const crop = { image: 0, a: "original", b: "original" };

function itemOf(key) { return data.crops[crop.image].items[key]; }

function describe(key) {
  const item = itemOf(key);
  return key === "original" ? "the original" : `${label(key)}: ${item.bpp.toFixed(2)} bits per pixel, ${number(item.psnr, 2)} dB`;
}

const title = (key) => (key === "original" ? "original" : label(key));

async function drawDifference() {
  const sources = ["original", crop.b].map((key) => {
    const image = new Image();
    image.src = itemOf(key).src;
    return image;
  });
  await Promise.all(sources.map((image) => image.decode()));
  const { width, height } = sources[0];
  const canvas = $("difference");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const [first, second] = sources.map((image) => {
    context.drawImage(image, 0, 0);
    return context.getImageData(0, 0, width, height);
  });
  const gain = Number($("gain").value);
  for (let i = 0; i < first.data.length; i++) {
    if (i % 4 < 3) first.data[i] = 128 + gain * (second.data[i] - first.data[i]);
  }
  context.putImageData(first, 0, 0);
  $("tag-d").textContent = `${title(crop.b)} − original, × ${gain}`;
  $("caption-difference").textContent = "Grey where nothing differs.";
}

function divide() {
  const at = $("divide").value;
  $("crop-a").style.clipPath = `inset(0 ${100 - at}% 0 0)`;
  $("handle").style.left = `${at}%`;
}

function showCrops() {
  for (const [side, key] of [["a", crop.a], ["b", crop.b]]) {
    $(`crop-${side}`).src = itemOf(key).src;
    $(`crop-${side}`).alt = describe(key);
    $(`tag-${side}`).textContent = title(key);
  }
  const place = data.crops[crop.image];
  $("caption-pair").textContent = `Left ${describe(crop.a)}; right ${describe(crop.b)}. ${place.side} × ${place.side} pixels at ${place.x}, ${place.y}.`;
  divide();
  drawDifference();
}

if (data.crops.length) {
  $("crops").hidden = false;
  const controls = $("crop-controls");
  const keys = Object.keys(data.crops[0].items);
  const ours = keys.find((key) => key !== "original" && codecs.get(key).own);
  const peer = keys.find((key) => key !== "original" && !codecs.get(key).own);
  crop.a = peer || "original";
  crop.b = ours || keys[keys.length - 1];
  const names = keys.map((key) => [key, title(key)]);
  choice(controls, "Image", data.crops.map((one, index) => [index, one.name]), (value) => { crop.image = Number(value); showCrops(); });
  choice(controls, "Left", names, (value) => { crop.a = value; showCrops(); }).value = crop.a;
  choice(controls, "Right", names, (value) => { crop.b = value; showCrops(); }).value = crop.b;
  $("divide").addEventListener("input", divide);
  $("gain").addEventListener("input", drawDifference);
  const stage = $("stage");
  const follow = (event) => {
    if (event.type === "pointermove" && !event.buttons) return;
    const box = stage.getBoundingClientRect();
    $("divide").value = Math.round(100 * (event.clientX - box.left) / box.width);
    divide();
  };
  stage.addEventListener("pointerdown", follow);
  stage.addEventListener("pointermove", follow);
  showCrops();
}

// Costs, codecs, machines.

if (data.costs.length) {
  $("cost").hidden = false;
  fill($("cost-table"), ["Codec", "Encode MP/s", "Decode MP/s", "Encode MB", "Decode MB"], data.costs.map((row) =>
    ({ own: codecs.get(row.codec).own, cells: [named(row.codec), speed(row.encode), speed(row.decode), number(row.encode_peak_mb, 0), number(row.decode_peak_mb, 0)] })));
}
$("lead").textContent = data.lead;
fill($("codec-table"), ["Codec", "How it was used", "Version"], data.codecs.map((codec) =>
  ({ own: codec.own, cells: [named(codec.name), codec.description, codec.version] })));
for (const machine of data.machines) $("machines").append(make("p", { class: "note" }, machine));
if (data.left_out.length) {
  $("left-out").append(make("h3", {}, "Left out"), ...data.left_out.map((line) => make("p", { class: "note" }, line)));
}
let phone = narrow();
addEventListener("resize", () => {
  if (narrow() === phone) return;
  phone = narrow();
  if (data.curve_images.length) drawCurves();
  if (data.pareto) drawPareto();
});

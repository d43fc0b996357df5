// A map that is dragged, zoomed and drawn upon; without this, its picture and a form for a rectangle stand in its place.

import { current, near, onNear, onSelect, select } from "./selection.js";
import { load, nearest, placeOf, simplified } from "./map_points.js";
import { Drawing, legendOf } from "./map_drawing.js";
import { nameOf } from "./png.js";

const MOST_CORNERS = 64; // of an area, as the address may hold
const CLICK_PX = 4;
const REACH_PX = 14; // how far from the pointer a point is found
const HOVER_MS = 90;
const STEP_PX = 40;

const stage = document.querySelector("#stage");
const canvas = document.querySelector("#map");
const told = document.querySelector("#map-told");
const figure = document.querySelector("#fig-map");
const pair = (text) => text.split(",").map(Number);

class View {
  constructor(box) { this.show(box); }

  show([left, bottom, right, top]) {
    [this.x, this.y] = [(left + right) / 2, (bottom + top) / 2];
    [this.width, this.height] = [right - left, top - bottom];
    this.scale = 0; // until the paper's size is known
  }

  fit({ clientWidth, clientHeight }) { this.scale = Math.min(clientWidth / this.width, clientHeight / this.height); }
  left(width) { return this.x - width / 2 / this.scale; }
  top(height) { return this.y + height / 2 / this.scale; }

  toPixels(x, y, { clientWidth, clientHeight }) {
    return [(x - this.x) * this.scale + clientWidth / 2, (this.y - y) * this.scale + clientHeight / 2];
  }

  toMap(px, py, { clientWidth, clientHeight }) {
    return [this.x + (px - clientWidth / 2) / this.scale, this.y - (py - clientHeight / 2) / this.scale];
  }

  move(dx, dy) { this.x -= dx / this.scale; this.y += dy / this.scale; }

  // Zoom by a factor while the place under the pixel stays where it is.
  zoom(factor, px, py, paper) {
    const [x, y] = this.toMap(px, py, paper);
    this.scale *= factor;
    const [moved, risen] = this.toMap(px, py, paper);
    this.x += x - moved;
    this.y += y - risen;
  }

  box({ clientWidth, clientHeight }) {
    const [w, h] = [clientWidth / 2 / this.scale, clientHeight / 2 / this.scale];
    return [this.x - w, this.y - h, this.x + w, this.y + h];
  }
}

const rounded = (value) => Number(value.toPrecision(6));
const view = new View(pair(stage.dataset.box));
const whole = new View(pair(stage.dataset.whole));
const state = { tool: "move", area: areaOfAddress(), drawn: null, isFramed: false, near: -1, selected: -1, seen: new Set() };
const pointers = new Map();
let points = null;
let drawing = null;
let frame = 0;

function areaOfAddress() {
  const numbers = pair(new URL(location.href).searchParams.get("area") ?? "");
  return numbers.length < 6 ? [] : numbers.flatMap((x, i) => (i % 2 ? [] : [[x, numbers[i + 1]]]));
}

// ── drawing ──

function repaint({ isMoved = false } = {}) {
  if (isMoved) drawing.isStale = true;
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    drawing.draw(view, {
      selected: state.selected, near: state.near, area: state.drawn ?? state.area,
      isOpen: state.drawn !== null && state.tool === "lasso", hasCross: document.activeElement === canvas,
    });
  });
}

function resized() {
  const isZoomed = view.scale && !isWhole();
  drawing.resize();
  if (!isZoomed) view.fit(canvas);
  whole.fit(canvas);
  repaint({ isMoved: true });
}

function recoloured() {
  drawing.recolour(legendOf(document.querySelector("#swatches")));
  repaint();
}

let writing = 0;
function moved() {
  repaint({ isMoved: true });
  canvas.classList.toggle("is-whole", isWhole());
  clearTimeout(writing);
  writing = setTimeout(() => {
    write({ view: isWhole() ? null : view.box(canvas).map(rounded).join(",") });
  }, 250);
}

const isWhole = () => view.scale <= whole.scale * 1.001;

function zoom(factor, px = canvas.clientWidth / 2, py = canvas.clientHeight / 2) {
  view.zoom(Math.min(Math.max(factor, whole.scale / view.scale), (whole.scale * 4000) / view.scale), px, py, canvas);
  if (isWhole()) [view.x, view.y] = [whole.x, whole.y];
  moved();
}

// ── the address holds the whole state; forms and links of the page follow it ──

function write(changes, { isStep = false } = {}) {
  const here = new URL(location.href);
  for (const [name, value] of Object.entries(changes)) {
    if (value === null) here.searchParams.delete(name);
    else here.searchParams.set(name, value);
    for (const form of document.querySelectorAll("#map-form, .rectangle")) keep(form, name, value);
  }
  here.hash = "";
  if (isStep) history.pushState(null, "", here);
  else history.replaceState(history.state, "", here);
  for (const link of document.querySelectorAll(".twins a")) link.search = here.search;
  return here;
}

// What a form sends on with its own choices; the rectangle's form names its own area.
function keep(form, name, value) {
  form.querySelector(`input[type=hidden][name="${name}"]`)?.remove();
  if (value === null || (name === "area" && form.matches(".rectangle"))) return;
  const field = document.createElement("input");
  Object.assign(field, { type: "hidden", name, value });
  form.append(field);
}

addEventListener("popstate", (event) => { if (!event.state?.htmx) location.reload(); });

async function choose(corners) {
  state.drawn = null;
  state.area = simplified(corners, MOST_CORNERS, 0.5 / view.scale).map(([x, y]) => [rounded(x), rounded(y)]);
  setTool("move");
  if (state.area.length < 3) { state.area = areaOfAddress(); repaint(); return; }
  repaint();
  const here = write({ area: state.area.flat().join(","), page: null }, { isStep: true });
  await window.htmx.ajax("GET", here.href, { target: "#chosen", swap: "outerHTML" });
  told.textContent = document.querySelector("#h-chosen").textContent;
}

// ── the nearest point ──

let waiting = 0;
function point(place) {
  if (place === state.near) return;
  state.near = place;
  near(place < 0 ? null : String(points.tokens[place]));
  clearTimeout(waiting);
  if (place >= 0) waiting = setTimeout(() => describe(place), HOVER_MS);
  repaint();
}

function describe(place) {
  const query = new URLSearchParams(location.search);
  query.set("figure", "near");
  query.set("token", points.tokens[place]);
  for (const name of ["area", "view", "page"]) query.delete(name);
  window.htmx.ajax("GET", `${stage.dataset.near}?${query}`, { source: "#near", target: "#near", swap: "innerHTML" });
}

const under = (px, py) => nearest(points, ...view.toMap(px, py, canvas), REACH_PX / view.scale);

function nextFromMiddle() {
  const [x, y] = view.toMap(canvas.clientWidth / 2, canvas.clientHeight / 2, canvas);
  const reach = Math.max(canvas.clientWidth, canvas.clientHeight) / view.scale;
  let place = nearest(points, x, y, reach, state.seen);
  if (place < 0) { state.seen.clear(); place = nearest(points, x, y, reach); }
  state.seen.add(place);
  point(place);
}

// ── pointers: one drags or draws, two pinch ──

const at = (event) => [event.offsetX, event.offsetY];

canvas.addEventListener("pointerdown", (event) => {
  if (event.button) return;
  canvas.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, { now: at(event), from: at(event), isDrag: false });
  if (pointers.size > 1) state.drawn = null;
  else if (state.tool !== "move") state.drawn = [view.toMap(...at(event), canvas)];
});

canvas.addEventListener("pointermove", (event) => {
  const pointer = pointers.get(event.pointerId);
  if (!pointer) { point(under(...at(event))); return; }
  const before = pointer.now;
  pointer.now = at(event);
  if (Math.hypot(pointer.now[0] - pointer.from[0], pointer.now[1] - pointer.from[1]) > CLICK_PX) pointer.isDrag = true;
  if (pointers.size === 2) pinch(event.pointerId, before);
  else if (state.drawn) draw(pointer);
  else if (pointer.isDrag) {
    view.move(pointer.now[0] - before[0], pointer.now[1] - before[1]);
    moved();
  }
});

function draw(pointer) {
  if (state.tool === "lasso") state.drawn.push(view.toMap(...pointer.now, canvas));
  else state.drawn = rectangle(view.toMap(...pointer.from, canvas), view.toMap(...pointer.now, canvas));
  repaint();
}

const rectangle = ([x0, y0], [x1, y1]) => [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];

function pinch(id, before) {
  const [other] = [...pointers].filter(([key]) => key !== id).map(([, pointer]) => pointer.now);
  const { now } = pointers.get(id);
  const far = (place) => Math.max(Math.hypot(place[0] - other[0], place[1] - other[1]), 1);
  view.move((now[0] - before[0]) / 2, (now[1] - before[1]) / 2);
  zoom(far(now) / far(before), (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
}

function released(event) {
  const pointer = pointers.get(event.pointerId);
  pointers.delete(event.pointerId);
  if (!pointer || event.type === "pointercancel") { state.drawn = null; repaint(); return; }
  if (state.drawn && pointer.isDrag) { choose(state.drawn); return; }
  state.drawn = null;
  if (pointer.isDrag) return;
  const place = under(...pointer.now);
  if (place >= 0) { point(place); select(String(points.tokens[place])); }
}
canvas.addEventListener("pointerup", released);
canvas.addEventListener("pointercancel", released);
canvas.addEventListener("pointerleave", (event) => { if (!pointers.has(event.pointerId) && event.pointerType === "mouse") point(-1); });

canvas.addEventListener("wheel", (event) => {
  if (event.deltaY > 0 && isWhole()) return; // nothing further out: the page scrolls
  event.preventDefault();
  zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0018)), ...at(event));
}, { passive: false });

// ── keys, while the map has the focus ──

const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

function frameKeys(event) {
  const way = WAYS[event.key];
  if (event.key === "Enter") { state.isFramed = false; choose(state.drawn); return true; }
  if (event.key === "Escape") { state.isFramed = false; state.drawn = null; setTool("move"); return true; }
  if (!way) return false;
  const [dx, dy] = [(way[0] * STEP_PX) / 2 / view.scale, (-way[1] * STEP_PX) / 2 / view.scale];
  const [[x0, y0], , [x1, y1]] = state.drawn;
  state.drawn = event.shiftKey ? rectangle([x0, y0], [x1 + dx, y1 + dy]) : rectangle([x0 + dx, y0 + dy], [x1 + dx, y1 + dy]);
  repaint();
  return true;
}

function startFrame() {
  setTool("rectangle");
  const { clientWidth: w, clientHeight: h } = canvas;
  state.drawn = rectangle(view.toMap(w * 0.35, h * 0.35, canvas), view.toMap(w * 0.65, h * 0.65, canvas));
  state.isFramed = true;
  told.textContent = "Arrows move the rectangle, Shift and arrows size it, Enter lists its tokens.";
  repaint();
}

const KEYS = {
  "+": () => zoom(1.5), "=": () => zoom(1.5), "-": () => zoom(1 / 1.5), 0: () => zoom(0), n: nextFromMiddle, r: startFrame,
  Enter: () => { if (state.near >= 0) select(String(points.tokens[state.near])); },
};

canvas.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const way = WAYS[event.key];
  if (state.isFramed && frameKeys(event)) { /* the rectangle took it */ }
  else if (way) { view.move(-way[0] * STEP_PX, -way[1] * STEP_PX); state.seen.clear(); moved(); }
  else if (KEYS[event.key]) KEYS[event.key]();
  else return;
  event.preventDefault();
});
for (const type of ["focus", "blur"]) canvas.addEventListener(type, () => repaint());

// ── buttons ──

function setTool(tool) {
  state.tool = tool;
  state.isFramed = false;
  canvas.dataset.tool = tool;
  for (const button of stage.querySelectorAll("[data-tool]")) {
    if (button !== canvas) button.setAttribute("aria-pressed", String(button.dataset.tool === tool));
  }
  if (tool !== "move") told.textContent = tool === "lasso" ? "Draw around the points." : "Drag from corner to corner.";
}

stage.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (button?.dataset.tool) setTool(button.dataset.tool);
  if (button?.dataset.zoom) zoom(Number(button.dataset.zoom));
});

figure.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-png]");
  if (!button) return;
  event.stopPropagation(); // this figure is a canvas, not a drawing
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [canvas.width, canvas.height];
  const context = copy.getContext("2d");
  context.fillStyle = getComputedStyle(canvas).backgroundColor;
  context.fillRect(0, 0, copy.width, copy.height);
  context.drawImage(canvas, 0, 0);
  const link = document.createElement("a");
  link.download = `${await nameOf(button)}.png`;
  link.href = copy.toDataURL("image/png");
  link.click();
});

// ── start ──

async function start() {
  try {
    points = await load(stage);
  } catch {
    return; // the picture stays
  }
  for (const svg of figure.querySelectorAll(":scope > svg")) svg.setAttribute("hidden", "");
  figure.querySelector("header").after(stage);
  stage.hidden = false;
  document.querySelector("#pointed").hidden = false;
  drawing = new Drawing(canvas, points);
  state.selected = current() === null ? -1 : placeOf(points, Number(current()));
  onSelect((token) => {
    state.selected = token === null ? -1 : placeOf(points, Number(token));
    for (const form of document.querySelectorAll("#map-form, .rectangle")) keep(form, "token", token);
    repaint();
  });
  onNear((token) => { state.near = token === null ? -1 : placeOf(points, Number(token)); repaint(); });
  resized();
  recoloured();
  setTool("move");
  canvas.classList.toggle("is-whole", isWhole());
  new ResizeObserver(resized).observe(canvas);
  const later = () => requestAnimationFrame(recoloured);
  document.querySelector("[data-theme-form]")?.addEventListener("change", later);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", later);
  if (state.selected >= 0) describe(state.selected);
  stage.dataset.ready = "true";
}

start();

// The similarity matrix on a canvas: wheel, pinch, drag and keys move it; the pair under the pointer stands beside it.

import { current, onSelect, select } from "./selection.js";
import { LEFT, Picture, TOP } from "./similarity_draw.js";
import { Tiles, channels } from "./similarity_tiles.js";

const equal = (one, two) => one === two || (one && two && one[0] === two[0] && one[1] === two[1]);
const WAIT_MS = 70;
const LONG_MS = 500; // from here on one is told that something is loading
const MOVED = 4; // pixels; less is a click

const box = document.getElementById("matrix");
if (box) start(JSON.parse(document.getElementById("matrix-config").textContent));

function start(config) {
  const canvas = box.querySelector("canvas");
  const panel = document.getElementById("pair");
  const empty = document.getElementById("no-pair").content;
  const said = document.getElementById("matrix-said");
  const form = document.getElementById("matrix-form");
  const forms = [form, document.getElementById("pair-form")]; // which send the pair on
  const tiles = new Tiles(config, () => {
    tellPixels();
    redraw();
  });
  const { n } = config;
  const colours = {};
  const picture = new Picture(canvas, config, tiles, colours);
  const pointers = new Map();
  const pairs = new Map();
  let view = null; // { x, y, z }: the place in the middle, and CSS pixels a pair; null shows config.focus
  let cursor = config.cursor;
  let hover = null;
  let plot = 0; // CSS pixels a side
  let ratio = 1;
  let drawing = 0;
  let pairTimer = 0;
  let stateTimer = 0;
  let waitTimer = 0;
  let asked = null;
  let drag = null;
  let isRestoring = false; // while Back or Forward puts an earlier pair in its place

  // ── where things are ──
  const least = () => plot / n;

  function shown() {
    if (view) return view;
    const [first, last] = config.focus;
    return held({ x: (first + last) / 2, y: (first + last) / 2, z: plot / (last - first) });
  }

  function held({ x, y, z }) {
    const zoom = Math.min(Math.max(z, least()), Math.max(config.mostZoom, least()));
    const half = Math.min(plot / zoom / 2, n / 2);
    const inside = (value) => Math.min(Math.max(value, half), n - half);
    return { x: inside(x), y: inside(y), z: zoom };
  }

  function pairAt(event) {
    const { left, top } = canvas.getBoundingClientRect();
    const across = event.clientX - left - LEFT;
    const down = event.clientY - top - TOP;
    if (across < 0 || down < 0 || across >= plot || down >= plot) return null;
    const column = Math.floor(shown().x + (across - plot / 2) / shown().z);
    const row = Math.floor(shown().y + (down - plot / 2) / shown().z);
    return row >= 0 && column >= 0 && row < n && column < n ? [row, column] : null;
  }

  // ── moving ──
  function moveTo(next) {
    view = held(next);
    box.classList.toggle("is-whole", isWhole());
    redraw();
    clearTimeout(stateTimer);
    stateTimer = setTimeout(keepState, 250);
  }

  function zoom(factor, event) {
    const { x, y, z } = shown();
    const next = Math.min(Math.max(z * factor, least()), config.mostZoom);
    let across = 0;
    let down = 0;
    if (event) {
      const { left, top } = canvas.getBoundingClientRect();
      across = event.clientX - left - LEFT - plot / 2;
      down = event.clientY - top - TOP - plot / 2;
    } else if (hover) {
      across = (hover[1] + 0.5 - x) * z;
      down = (hover[0] + 0.5 - y) * z;
    }
    moveTo({ x: x + across / z - across / next, y: y + down / z - down / next, z: next });
  }

  // Moving rewrites the entry of the history that it happens in; a kept pair begins a new one.
  function keepState() {
    clearTimeout(stateTimer);
    stateTimer = 0;
    const here = new URL(location.href);
    const { searchParams } = here;
    if (isWhole()) {
      searchParams.delete("go"); // it asked for a block
      for (const name of Object.keys(stated())) searchParams.delete(name);
    }
    if (!isWhole() || searchParams.has("cluster")) {
      for (const [name, value] of Object.entries(stated())) searchParams.set(name, value);
    }
    history.replaceState(state(), "", here);
  }

  const state = () => ({ ...history.state, matrix: { cursor, view } });
  const isWhole = () => shown().z <= least() * 1.001;

  function fill(name, value) {
    for (const one of forms) one.elements[name].value = value ?? "";
  }

  async function restore({ state: earlier }) {
    if (!earlier?.matrix) return;
    clearTimeout(stateTimer);
    stateTimer = 0;
    ({ cursor, view } = earlier.matrix);
    const pair = cursor;
    if (view) view = held(view);
    hover = null;
    box.classList.toggle("is-whole", isWhole());
    redraw();
    clearTimeout(pairTimer);
    const { searchParams } = new URL(location.href);
    fill("with", searchParams.get("with"));
    if (pair) await tell(pair, true);
    else panel.replaceChildren(...empty.cloneNode(true).childNodes);
    if (cursor !== pair) return;
    isRestoring = true;
    select(searchParams.get("token"), { again: false });
    isRestoring = false;
  }

  function stated() {
    const { x, y, z } = shown();
    return { x: x.toFixed(1), y: y.toFixed(1), z: z.toPrecision(4) };
  }

  // ── drawing ──
  function redraw() {
    cancelAnimationFrame(drawing);
    drawing = requestAnimationFrame(draw);
  }

  function draw() {
    picture.draw({ ...shown(), plot, ratio }, cursor, hover);
    if (!waitTimer && tiles.isBusy) waitTimer = setTimeout(tellPixels, LONG_MS);
  }

  function tellPixels() {
    if (!tiles.isBusy) {
      clearTimeout(waitTimer);
      waitTimer = 0;
      said.textContent = tiles.hasFailed ? "Some pixels could not be loaded; move the matrix to try again." : "";
    } else if (performance.now() - tiles.busySince > LONG_MS) said.textContent = "Pixels are on their way…";
  }

  // ── the pair ──
  function point(pair) {
    const isSame = equal(pair, hover);
    hover = pair;
    redraw();
    if (isSame) return;
    clearTimeout(pairTimer);
    const wanted = pair ?? cursor;
    if (wanted) pairTimer = setTimeout(() => tell(wanted, equal(wanted, cursor)), WAIT_MS);
  }

  async function tell([row, column], isKept = false) {
    const name = `?row=${row}&column=${column}${isKept ? "&near=on" : ""}`;
    asked?.abort();
    asked = new AbortController();
    try {
      if (!pairs.has(name)) {
        const response = await fetch(config.pair + name, { signal: asked.signal });
        if (!response.ok) throw new Error(`${response.status}`);
        pairs.set(name, await response.text());
      }
    } catch (error) {
      if (error.name !== "AbortError") said.textContent = "This pair could not be loaded; point at it again.";
      return null;
    }
    const parsed = new DOMParser().parseFromString(pairs.get(name), "text/html"); // runs nothing; the server escaped it
    panel.replaceChildren(...parsed.body.childNodes);
    for (const shown of panel.querySelectorAll("[data-token]")) shown.classList.toggle("is-on", shown.dataset.token === current());
    return panel.querySelector("[data-pair]")?.dataset;
  }

  async function choose(pair) {
    if (stateTimer) keepState(); // the place that one leaves
    cursor = pair;
    redraw();
    clearTimeout(pairTimer); // what was only pointed at
    const found = await tell(pair, true);
    if (!found || cursor !== pair) return;
    document.getElementById("pair-said")?.remove(); // what the address named before
    const here = new URL(location.href);
    here.searchParams.set("token", found.row);
    here.searchParams.set("with", found.column);
    if (here.href !== location.href) history.pushState(state(), "", here);
    fill("with", found.column);
    if (current() === found.row) select(found.row, { again: false });
    else select(found.row);
  }

  onSelect((token) => {
    fill("token", token);
    if (isRestoring) return;
    if (token !== null) {
      become(token);
      return;
    }
    cursor = null;
    const here = new URL(location.href);
    here.searchParams.delete("with");
    history.replaceState(state(), "", here);
    fill("with", null);
    redraw();
  });

  // A token of the panel that is selected there becomes the row, and the row the column.
  function become(token) {
    const isRow = panel.querySelector("[data-pair]")?.dataset.row === token;
    const place = panel.querySelector(`[data-token="${CSS.escape(token)}"]`)?.dataset.place;
    if (cursor && !isRow && place !== undefined) choose([Number(place), cursor[0]]);
  }

  // ── hands ──
  canvas.addEventListener("wheel", (event) => {
    const isOut = event.deltaY > 0 && isWhole();
    if (isOut || !pairAt(event)) return; // nothing to zoom: the page scrolls
    event.preventDefault();
    const pixels = event.deltaY * (event.deltaMode === 1 ? 16 : 1);
    zoom(Math.exp(-Math.min(Math.max(pixels, -120), 120) * (event.ctrlKey ? 0.01 : 0.0025)), event);
  }, { passive: false });

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, event);
    drag = { from: event, view: shown(), hasMoved: pointers.size > 1, gap: gap() };
  });

  canvas.addEventListener("pointermove", (event) => {
    if (!pointers.has(event.pointerId)) {
      point(pairAt(event));
      return;
    }
    pointers.set(event.pointerId, event);
    if (pointers.size === 2) pinch();
    else if (drag) pan(event);
  });

  function pan(event) {
    const [across, down] = [event.clientX - drag.from.clientX, event.clientY - drag.from.clientY];
    drag.hasMoved ||= Math.hypot(across, down) > MOVED;
    if (!drag.hasMoved) return;
    hover = null;
    const { x, y, z } = drag.view;
    moveTo({ x: x - across / z, y: y - down / z, z });
  }

  function pinch() {
    const [one, two] = [...pointers.values()];
    zoom(gap() / (drag.gap || gap()), { clientX: (one.clientX + two.clientX) / 2, clientY: (one.clientY + two.clientY) / 2 });
    drag.gap = gap();
    drag.hasMoved = true;
  }

  function gap() {
    const [one, two] = [...pointers.values()];
    return two ? Math.hypot(one.clientX - two.clientX, one.clientY - two.clientY) : 0;
  }

  function release(event) {
    const wasClick = pointers.delete(event.pointerId) && drag && !drag.hasMoved && event.type === "pointerup";
    const pair = wasClick ? pairAt(event) : null;
    if (pair) choose(pair);
    const [rest] = pointers.values();
    drag = rest ? { from: rest, view: shown(), hasMoved: true, gap: 0 } : null;
  }
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => { if (!pointers.size) point(null); });
  canvas.addEventListener("dblclick", (event) => zoom(2, event));

  // ── keys ──
  const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  box.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (!act(event)) return;
    event.preventDefault();
    event.stopPropagation();
  });

  function act(event) {
    if (STEPS[event.key]) step(STEPS[event.key], event.shiftKey);
    else if (event.key === "+" || event.key === "=") zoom(1.6);
    else if (event.key === "-" || event.key === "_") zoom(1 / 1.6);
    else if (event.key === "0") moveTo({ x: n / 2, y: n / 2, z: least() });
    else if (event.key === "Enter" && hover) choose(hover);
    else if (event.key === "Escape" && (hover || cursor)) leave();
    else return false;
    return true;
  }

  function step([down, across], isFar) {
    const { x, y, z } = shown();
    const from = hover ?? cursor ?? [Math.floor(y), Math.floor(x)];
    const by = isFar ? Math.max(1, Math.round(plot / z / 4)) : Math.max(1, Math.round(6 / z));
    const inside = (value) => Math.min(Math.max(value, 0), n - 1);
    const next = [inside(from[0] + down * by), inside(from[1] + across * by)];
    point(next);
    const half = plot / z / 2;
    const follow = (middle, place) => Math.min(Math.max(middle, place + 1 - half), place + half);
    const [nextX, nextY] = [follow(x, next[1]), follow(y, next[0])];
    if (nextX !== x || nextY !== y) moveTo({ x: nextX, y: nextY, z });
  }

  function leave() {
    if (hover) { point(null); return; }
    if (current() !== null) select(current()); // once more lets go
    else { cursor = null; redraw(); }
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-matrix]");
    if (!button) return;
    if (button.dataset.matrix === "in") zoom(1.6);
    else if (button.dataset.matrix === "out") zoom(1 / 1.6);
    else if (button.dataset.matrix === "whole") moveTo({ x: n / 2, y: n / 2, z: least() });
    else picture.save(box.dataset.title, [...document.querySelectorAll("#matrix-legend text")].map((text) => text.textContent));
  });

  // a change of colours or numbers keeps the place; another k or affinity has another order
  form.addEventListener("change", (event) => {
    if (box.classList.contains("is-whole") || !event.target.matches("[data-keeps-view]")) return;
    for (const [name, value] of Object.entries(stated())) {
      form.elements[name].disabled = false;
      form.elements[name].value = value;
    }
  });

  // ── colours and size ──
  function readColours() {
    const probe = (name) => getComputedStyle(box.querySelector(`[data-probe="${name}"]`)).color;
    for (const name of ["ink", "muted", "accent", "paper"]) colours[name] = probe(name);
    colours.family = getComputedStyle(box).fontFamily;
    const stops = [...document.querySelectorAll("#matrix-legend stop")].map((stop) => channels(getComputedStyle(stop).stopColor));
    tiles.recolour(stops, channels(colours.paper));
    redraw();
  }

  function resize() {
    const { width } = box.getBoundingClientRect();
    if (!width) return;
    ratio = Math.min(window.devicePixelRatio || 1, 3);
    plot = Math.max(width - LEFT, 60);
    canvas.width = Math.round((plot + LEFT) * ratio);
    canvas.height = Math.round((plot + TOP) * ratio);
    if (view) view = held(view);
    box.classList.toggle("is-whole", isWhole());
    redraw();
  }

  box.hidden = false;
  for (const part of document.querySelectorAll("[data-needs-matrix]")) part.hidden = false;
  if (config.view) view = { x: config.view[0], y: config.view[1], z: config.view[2] };
  history.replaceState(state(), "");
  addEventListener("popstate", restore);
  new ResizeObserver(resize).observe(box);
  resize();
  readColours();
  new MutationObserver(readColours).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", readColours);
}

// A cluster's page: j and k walk its contexts, one member is marked in every figure, cells name their pairs.

import { current, near, onSelect, select } from "./selection.js";

const help = document.querySelector("dialog[data-keys]");
const typing = (element) => element?.closest?.("input, textarea, select, [contenteditable]");
const rows = () => [...document.querySelectorAll(".ctxs > li[data-token]")];

// ── contexts ──
function move(step) {
  const all = rows();
  const at = all.findIndex((row) => row.dataset.token === current());
  const next = at < 0 ? (step > 0 ? 0 : all.length - 1) : at + step;
  if (next >= all.length) document.querySelector("[data-next-contexts]")?.focus();
  const row = all[next];
  if (!row) return;
  select(row.dataset.token, { again: false });
  row.scrollIntoView({ block: "nearest" });
  row.querySelector(".ctx")?.focus({ preventScroll: true });
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || help?.open) return;
  if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "?") help?.showModal();
  else return;
  event.preventDefault();
});

// ── what the server draws of the marked member is drawn anew ──
let waiting = 0;
onSelect(() => { clearTimeout(waiting); waiting = setTimeout(refresh, 250); });

function refresh() {
  const page = location.pathname.replace(/\/$/, ".html");
  for (const place of document.querySelectorAll("[data-marks]")) {
    const query = new URLSearchParams(location.search);
    query.set("figure", place.dataset.marks);
    window.htmx?.ajax("GET", `${page}?${query}`, { source: place, target: place, swap: "innerHTML" });
  }
}

// ── heatmap: the pair under the pointer or the arrows, in words ──
const cells = new WeakMap(); // heatmap → the cell that its arrows stand on

function read(heat) {
  const members = JSON.parse(heat.dataset.members);
  const bytes = Uint8Array.from(atob(heat.dataset.heat), (letter) => letter.charCodeAt(0));
  return { members, values: new Int8Array(bytes.buffer) };
}

function show(heat, row, column) {
  const { members, values } = read(heat);
  const value = (values[row * members.length + column] / 100).toFixed(2).replace("-", "−");
  heat.querySelector("[data-pair]").textContent = row === column
    ? members[row][1] : `${members[row][1]} × ${members[column][1]}: ${value}`;
  outline(heat, row, column, members.length);
  near(String(members[row][0]));
}

function plot(svg) {
  const boxes = [...svg.querySelectorAll("path.cells")].map((path) => path.getBBox());
  const left = Math.min(...boxes.map((box) => box.x));
  const top = Math.min(...boxes.map((box) => box.y));
  const right = Math.max(...boxes.map((box) => box.x + box.width));
  const bottom = Math.max(...boxes.map((box) => box.y + box.height));
  return { left, top, width: right - left, height: bottom - top };
}

function outline(heat, row, column, n) {
  const svg = heat.querySelector("svg.chart");
  const { left, top, width, height } = plot(svg);
  let cross = svg.querySelector(".cross");
  if (!cross) {
    cross = document.createElementNS("http://www.w3.org/2000/svg", "path");
    cross.setAttribute("class", "cross");
    svg.append(cross);
  }
  const across = width / n;
  const down = height / n;
  const [x, y] = [left + column * across, top + row * down];
  cross.setAttribute("d", `M${left} ${y}h${width}v${down}h${-width}zM${x} ${top}h${across}v${height}h${-across}z`);
}

function cellAt(heat, event) {
  const svg = heat.querySelector("svg.chart");
  const { left, top, width, height } = plot(svg);
  const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
  const n = JSON.parse(heat.dataset.members).length;
  const row = Math.floor(((point.y - top) / height) * n);
  const column = Math.floor(((point.x - left) / width) * n);
  return row >= 0 && row < n && column >= 0 && column < n ? [row, column] : null;
}

document.addEventListener("pointermove", (event) => {
  const heat = event.target.closest?.(".heat");
  const cell = heat && event.target.closest("svg.chart") && cellAt(heat, event);
  if (cell) show(heat, ...cell);
});

document.addEventListener("click", (event) => {
  const heat = event.target.closest?.(".heat");
  const cell = heat && event.target.closest("svg.chart") && cellAt(heat, event);
  if (!cell) return;
  cells.set(heat, cell);
  select(String(read(heat).members[cell[0]][0]));
  event.stopPropagation();
}, { capture: true });

document.addEventListener("keydown", (event) => {
  const heat = event.target.matches?.(".heat") ? event.target : null;
  if (!heat || event.ctrlKey || event.metaKey || event.altKey) return;
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (!step && event.key !== "Enter") return;
  event.preventDefault();
  const { members } = read(heat);
  const [row, column] = cells.get(heat) ?? [0, 0];
  if (!step) { select(String(members[row][0])); return; }
  const kept = (place) => Math.min(Math.max(place, 0), members.length - 1);
  const cell = cells.has(heat) ? [kept(row + step[0]), kept(column + step[1])] : [0, 0];
  cells.set(heat, cell);
  show(heat, ...cell);
}, { capture: true });

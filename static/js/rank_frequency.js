// The window of the fit: its edges are dragged or moved by keys, the server says what the slope then is.
// Let go, and the form is sent: the address holds the ranks, and every figure follows.

const SVG = "http://www.w3.org/2000/svg";
const EDGES = ["first", "last"];
const NAMES = { first: "First rank of the fit", last: "Last rank of the fit" };
const GRAB = 30; // pixels around an edge that take the pointer
const PAUSE = 700; // ms after the last key
const FITS = ["fitl", "fitl dash"];

let unsent = null; // ranks chosen by keys that no request has carried yet
let timer = 0;
let focused = ""; // the edge that had the focus when the page was redrawn

class Window {
  constructor(host) {
    Object.assign(this, JSON.parse(host.dataset.drag));
    this.host = host;
    this.form = document.getElementById("rf");
    this.at = [...this.window];
    this.isAsking = false;
    this.pictures = [...host.querySelectorAll("svg.chart")].map((svg) => new Picture(svg, this));
    this.place();
  }

  // ── where the edges are ──
  move(edge, rank) {
    const [lowest, highest] = this.ranks, least = this.least - 1, next = [...this.at];
    const bounds = edge === "first" ? [lowest, next[1] - least] : [next[0] + least, highest];
    next[EDGES.indexOf(edge)] = Math.min(Math.max(Math.round(rank), bounds[0]), bounds[1]);
    this.set(next);
  }

  set(next) {
    if (next[0] === this.at[0] && next[1] === this.at[1]) return;
    this.at = next;
    this.place();
    this.ask();
  }

  place() {
    for (const picture of this.pictures) picture.place(this.at);
    for (const edge of EDGES) this.form.elements[edge].value = this.at[EDGES.indexOf(edge)];
  }

  // ── what the server says: one question at a time, the last one always asked ──
  async ask() {
    if (this.isAsking) return;
    this.isAsking = true;
    let asked = null;
    while (asked !== this.at && this.host.isConnected) {
      asked = this.at;
      const query = new URLSearchParams({ affinity: this.affinity, first: asked[0], last: asked[1] });
      try {
        const response = await fetch(`${this.url}?${query}`, { headers: { Accept: "application/json" } });
        if (response.ok) this.show(await response.json());
      } catch { /* the next move asks again, and letting go sends the form */ }
    }
    this.isAsking = false;
  }

  show({ texts, lines }) {
    for (const element of document.querySelectorAll("[data-fit]")) element.textContent = texts[element.dataset.fit] ?? "";
    const slope = Object.entries(texts).filter(([name]) => name.endsWith("-slope")).map(([, text]) => text).join(" and ");
    for (const picture of this.pictures) picture.draw(lines, `slope ${slope}`);
  }

  send() {
    clearTimeout(timer);
    unsent = null;
    if (this.at[0] === this.window[0] && this.at[1] === this.window[1]) return;
    focused = document.activeElement?.dataset?.edge ?? "";
    this.form.requestSubmit();
  }

  sendSoon() {
    unsent = this.at;
    clearTimeout(timer);
    timer = setTimeout(() => shown?.send(), PAUSE);
  }
}

class Picture {
  constructor(svg, owner) {
    const isNarrow = svg.classList.contains("narrow");
    this.owner = owner;
    this.svg = svg;
    this.area = owner.areas[isNarrow ? "narrow" : "wideonly"];
    this.shade = svg.querySelector("path.window");
    this.lines = [...svg.querySelectorAll("line.edge")];
    const texts = [...svg.querySelectorAll("text.fc1")];
    this.ranks = texts.slice(0, 2);
    this.labels = texts.slice(2);
    this.describe();
    this.handles = Object.fromEntries(EDGES.map((edge) => [edge, this.handle(edge)]));
    this.shade.addEventListener("pointerdown", (event) => { if (event.pointerType !== "touch") this.drag(event, null); });
  }

  // a picture may hold no controls: the marks become the picture, and the edges stand beside it
  describe() {
    const marks = element("g", { role: "img", "aria-labelledby": this.svg.getAttribute("aria-labelledby") });
    marks.append(...[...this.svg.childNodes].filter((node) => !["title", "desc"].includes(node.nodeName)));
    this.svg.append(marks);
    this.svg.removeAttribute("aria-labelledby");
    this.svg.setAttribute("role", "group");
    this.svg.setAttribute("aria-label", "Window of the fit");
    this.marks = marks;
  }

  handle(edge) {
    const { top, bottom } = this.area, middle = (top + bottom) / 2;
    const group = element("g", { class: "drag", role: "slider", tabindex: 0, "aria-label": NAMES[edge], "data-edge": edge });
    group.append(
      element("rect", { class: "grab", x: -GRAB / 2, y: top, width: GRAB, height: bottom - top }),
      element("rect", { class: "ring", x: -8, y: middle - 18, width: 16, height: 36, rx: 5 }),
      element("rect", { class: "handle", x: -4, y: middle - 14, width: 8, height: 28, rx: 3 }),
    );
    group.addEventListener("pointerdown", (event) => this.drag(event, edge));
    group.addEventListener("keydown", (event) => this.key(event, edge));
    group.addEventListener("blur", () => { if (unsent) this.owner.send(); });
    this.svg.append(group);
    return group;
  }

  x(rank) { return along(rank, this.owner.x, this.area.left, this.area.right); }
  y(size) { return along(size, this.owner.y, this.area.bottom, this.area.top); }

  place(at) {
    const { top, bottom } = this.area, [from, to] = at.map((rank) => this.x(rank));
    this.shade.setAttribute("d", `M${from} ${top}H${to}V${bottom}H${from}z`);
    EDGES.forEach((edge, i) => {
      const here = [from, to][i].toFixed(1);
      for (const end of ["x1", "x2"]) this.lines[i].setAttribute(end, here);
      this.ranks[i].setAttribute("x", here - 5);
      this.ranks[i].textContent = at[i].toLocaleString("en");
      this.handles[edge].setAttribute("transform", `translate(${here} 0)`);
      const [lowest, highest] = i ? [at[0] + this.owner.least - 1, this.owner.ranks[1]] : [this.owner.ranks[0], at[1] - this.owner.least + 1];
      for (const [name, value] of [["min", lowest], ["max", highest], ["now", at[i]], ["text", `rank ${at[i]}`]]) {
        this.handles[edge].setAttribute(`aria-value${name}`, value);
      }
    });
  }

  draw(lines, spoken) {
    for (const css of FITS) {
      const line = lines.find((one) => one.css === css);
      this.path(css).setAttribute("d", line ? line.points.map(([x, y], i) => `${i ? "L" : "M"}${this.x(x)} ${this.y(y)}`).join("") : "");
    }
    lines.filter((one) => one.label).forEach((line, i) => {
      const text = this.labels[i], [base, raised] = line.label.split("^");
      if (!text) return;
      text.firstChild.data = base;
      if (text.querySelector("tspan")) text.querySelector("tspan").textContent = raised;
      text.classList.remove("e", "m");
      text.setAttribute("x", this.x(line.label_at[0]) + 8);
      text.setAttribute("y", this.y(line.label_at[1]) - 8);
    });
    EDGES.forEach((edge, i) => this.handles[edge].setAttribute("aria-valuetext", `rank ${this.owner.at[i]}, ${spoken}`));
  }

  path(css) {
    const there = this.marks.querySelector(`path[class="${css}"]`);
    if (there) return there;
    const made = element("path", { class: css });
    this.marks.insertBefore(made, this.lines[0]);
    return made;
  }

  // ── hands ──
  drag(event, edge) {
    if (event.button) return;
    event.preventDefault();
    const target = event.currentTarget, { owner } = this, before = [...owner.at];
    const start = this.rankAt(event);
    target.focus?.({ preventScroll: true });
    target.setPointerCapture(event.pointerId);
    owner.host.classList.add("is-dragged");
    const moved = (now) => {
      const factor = this.rankAt(now) / start;
      if (edge) owner.move(edge, before[EDGES.indexOf(edge)] * factor);
      else owner.set(shifted(before, factor, owner.ranks, owner.least));
    };
    const ended = () => {
      target.removeEventListener("pointermove", moved);
      owner.host.classList.remove("is-dragged");
      owner.send();
    };
    target.addEventListener("pointermove", moved);
    target.addEventListener("lostpointercapture", ended, { once: true });
  }

  rankAt(event) {
    const box = this.svg.getBoundingClientRect(), width = this.svg.viewBox.baseVal.width;
    const x = ((event.clientX - box.left) / box.width) * width, [lo, hi] = this.owner.x;
    const share = (x - this.area.left) / (this.area.right - this.area.left);
    return lo * (hi / lo) ** Math.min(Math.max(share, 0), 1);
  }

  key(event, edge) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { owner } = this, rank = owner.at[EDGES.indexOf(edge)], leap = Math.max(1, Math.round(rank / 10));
    const to = {
      ArrowLeft: rank - 1, ArrowDown: rank - 1, ArrowRight: rank + 1, ArrowUp: rank + 1,
      PageDown: rank - leap, PageUp: rank + leap, Home: owner.ranks[0], End: owner.ranks[1],
    }[event.key];
    if (event.key === "Enter") owner.send();
    if (to === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    owner.move(edge, to);
    owner.sendSoon();
  }
}

function along(value, [lo, hi], from, to) {
  return from + (Math.log(value / lo) / Math.log(hi / lo)) * (to - from);
}

// the whole window by a factor, as far as its ends allow
function shifted([first, last], factor, [lowest, highest], least) {
  const held = Math.min(Math.max(factor, lowest / first), highest / last);
  const start = Math.max(lowest, Math.round(first * held));
  return [Math.min(start, highest - least + 1), Math.min(highest, Math.max(Math.round(last * held), start + least - 1))];
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

let shown = null;

function start() {
  const host = document.querySelector("[data-drag]");
  if (!host || host === shown?.host) return;
  shown = new Window(host);
  if (unsent) shown.set(unsent);
  if (focused) {
    const visible = shown.pictures.find((picture) => picture.svg.getBoundingClientRect().width);
    visible?.handles[focused]?.focus({ preventScroll: true });
  }
  focused = "";
}

start();
document.addEventListener("htmx:load", start);

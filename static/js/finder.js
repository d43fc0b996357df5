// Choosing on the finder's chart, by pointer or keys: a box becomes thresholds, a free form a polygon in the address.
// The chart is the server's; without this script the number fields do the same.

const SVG = "http://www.w3.org/2000/svg";
const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const STEPS = 4095; // a lasso's corners stand on a grid of so many steps each way
const MOST_CORNERS = 64;
const LEAST_MOVE = 4; // pixels on the paper: less is a click
const KEY_STEP = 1 / 50;

let brush = "box";

class Plane {
  constructor(element, svg) {
    this.element = element;
    this.svg = svg;
    const data = element.dataset;
    this.x = { name: data.x, low: Number(data.xLow), high: Number(data.xHigh), log: false };
    this.y = { name: data.y, low: Number(data.yLow), high: Number(data.yHigh), log: "logY" in data };
    const foot = svg.querySelector("line.axis");
    const rows = [...svg.querySelectorAll("line.grid")].map((line) => Number(line.getAttribute("y1")));
    this.frame = {
      left: Number(foot.getAttribute("x1")), right: Number(foot.getAttribute("x2")),
      top: Math.min(...rows), bottom: Number(foot.getAttribute("y1")),
    };
    this.layer = svg.appendChild(document.createElementNS(SVG, "g"));
    this.layer.setAttribute("class", "brush");
    this.says = element.parentElement.querySelector("[data-brush-says]");
    this.at = { x: 0.5, y: 0.5 }; // of the keyboard's cross, as shares of the frame
    this.points = [];
    this.listen();
  }

  listen() {
    const { svg } = this;
    svg.setAttribute("tabindex", "0");
    svg.setAttribute("role", "application");
    svg.setAttribute("aria-roledescription", "chart to choose on");
    svg.addEventListener("dragstart", (event) => event.preventDefault());
    svg.addEventListener("pointerdown", (event) => this.start(event));
    svg.addEventListener("pointermove", (event) => this.move(event));
    svg.addEventListener("pointerup", (event) => this.end(event));
    svg.addEventListener("pointercancel", () => this.cancel());
    svg.addEventListener("keydown", (event) => this.key(event));
    svg.addEventListener("focus", () => {
      if (svg.matches(":focus-visible")) this.say("Arrows move the cross, Shift in larger steps; Space sets a corner, Enter chooses, Escape lets go.");
    });
    svg.addEventListener("blur", () => this.cancel());
  }

  share(event) {
    const point = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
    const { left, right, top, bottom } = this.frame;
    const within = (value) => Math.min(Math.max(value, 0), 1);
    return { x: within((point.x - left) / (right - left)), y: within((bottom - point.y) / (bottom - top)) };
  }

  start(event) {
    if (event.button !== 0 || (event.pointerType === "touch" && !this.element.classList.contains("is-armed"))) return;
    this.points = [this.share(event)];
    this.dragging = event.pointerId;
  }

  move(event) {
    if (this.dragging !== event.pointerId) return;
    const here = this.share(event);
    if (this.points.length === 1) {
      if (this.distance(this.points[0], here) < LEAST_MOVE) return;
      this.svg.setPointerCapture(event.pointerId);
    }
    if (brush === "box") this.points = [this.points[0], here];
    else if (this.distance(this.points.at(-1), here) >= 2) this.points.push(here);
    this.draw(this.points);
  }

  end(event) {
    if (this.dragging !== event.pointerId) return;
    this.dragging = null;
    if (this.points.length > 1) {
      this.svg.addEventListener("click", (click) => { click.preventDefault(); click.stopPropagation(); }, { capture: true, once: true });
      setTimeout(() => this.choose(), 0);
    } else this.points = [];
  }

  cancel() {
    this.dragging = null;
    this.points = [];
    this.layer.replaceChildren();
    this.say("");
  }

  key(event) {
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    if (event.target !== this.svg || event.ctrlKey || event.metaKey || event.altKey) return;
    if (moves[event.key]) {
      const step = KEY_STEP * (event.shiftKey ? 5 : 1);
      const [dx, dy] = moves[event.key];
      this.at = { x: Math.min(Math.max(this.at.x + dx * step, 0), 1), y: Math.min(Math.max(this.at.y + dy * step, 0), 1) };
    } else if (event.key === " " || (event.key === "Enter" && !this.points.length)) {
      this.points.push({ ...this.at });
      if (brush === "box" && this.points.length === 2) return this.take(event);
    } else if (event.key === "Enter") {
      if (brush === "box") this.points = [this.points[0], { ...this.at }];
      return this.take(event);
    } else if (event.key === "Escape") {
      event.preventDefault();
      return this.cancel();
    } else return undefined;
    event.preventDefault();
    this.draw(this.points.length ? [...this.points, this.at] : [], true);
    return undefined;
  }

  take(event) {
    event.preventDefault();
    this.choose();
  }

  choose() {
    const form = document.getElementById("find-tokens");
    const chosen = brush === "box" ? this.box(form) : this.lasso(form);
    if (chosen) form.requestSubmit();
    else this.cancel();
  }

  box(form) {
    const [a, b] = this.points;
    if (!b || a.x === b.x || a.y === b.y) return false;
    for (const [axis, side] of [[this.x, "x"], [this.y, "y"]]) {
      const [low, high] = [a[side], b[side]].sort((one, two) => one - two);
      this.put(form, `${axis.name}_min`, low > 0 ? this.value(axis, low) : "");
      this.put(form, `${axis.name}_max`, high < 1 ? this.value(axis, high) : "");
    }
    form.elements.lasso.value = "";
    return true;
  }

  lasso(form) {
    const corners = simplified(this.points, MOST_CORNERS);
    if (corners.length < 3) return false;
    const letters = corners.flatMap(({ x, y }) => [x, y]).map((share) => {
      const step = Math.round(share * STEPS);
      return LETTERS[step >> 6] + LETTERS[step & 63];
    });
    form.elements.lasso.value = `${this.element.dataset.plane}.${letters.join("")}`;
    return true;
  }

  put(form, name, value) {
    const field = form.elements[name];
    if (field) field.value = value;
  }

  value(axis, share) {
    const [low, high] = axis.log ? [Math.log(axis.low), Math.log(axis.high)] : [axis.low, axis.high];
    const value = low + share * (high - low);
    return String(Number((axis.log ? Math.exp(value) : value).toPrecision(3)));
  }

  distance(a, b) {
    const { left, right, top, bottom } = this.frame;
    return Math.hypot((a.x - b.x) * (right - left), (a.y - b.y) * (bottom - top));
  }

  place({ x, y }) {
    const { left, right, top, bottom } = this.frame;
    return [left + x * (right - left), bottom - y * (bottom - top)];
  }

  draw(points, withCross = false) {
    const marks = [];
    if (withCross) {
      const [x, y] = this.place(this.at);
      const { left, right, top, bottom } = this.frame;
      marks.push(made("line", { x1: left, x2: right, y1: y, y2: y }), made("line", { x1: x, x2: x, y1: top, y2: bottom }));
      marks.push(made("circle", { cx: x, cy: y, r: 4 }));
    }
    if (points.length > 1) {
      const shape = brush === "box" ? corners(points[0], points.at(-1)) : points;
      const path = shape.map((point, i) => `${i ? "L" : "M"}${this.place(point).map((n) => n.toFixed(1)).join(" ")}`).join("");
      marks.push(made("path", { d: `${path}Z` }));
    }
    this.layer.replaceChildren(...marks);
    const ends = points.length > 1 ? points : [this.at];
    this.say([this.x, this.y].map((axis, i) => {
      const shares = ends.map((point) => (i ? point.y : point.x));
      const [low, high] = [Math.min(...shares), Math.max(...shares)].map((share) => this.value(axis, share));
      return `${{ m: "M", n: "effective steps", l: "linearity", b: "breakthroughness" }[axis.name]} ${low === high ? low : `${low} to ${high}`}`;
    }).join(", ").replaceAll("-", "−"));
  }

  say(words) {
    if (!this.says) return;
    this.says.textContent = words;
    this.says.hidden = !words;
  }
}

function made(tag, attributes) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function corners(a, b) {
  return [a, { x: b.x, y: a.y }, b, { x: a.x, y: b.y }];
}

// Fewer corners (Ramer, Douglas, Peucker), with a tolerance that grows until they are few enough.
function simplified(points, most) {
  let kept = points;
  for (let tolerance = 0.002; kept.length > most; tolerance *= 1.5) kept = reduced(points, tolerance);
  return kept;
}

function reduced(points, tolerance) {
  if (points.length < 3) return points;
  const [first, last] = [points[0], points.at(-1)];
  const length = Math.hypot(last.x - first.x, last.y - first.y);
  let [far, at] = [0, 0];
  for (let i = 1; i < points.length - 1; i += 1) {
    const { x, y } = points[i];
    const off = length
      ? Math.abs((last.x - first.x) * (first.y - y) - (first.x - x) * (last.y - first.y)) / length
      : Math.hypot(x - first.x, y - first.y);
    if (off > far) [far, at] = [off, i];
  }
  if (far <= tolerance) return [first, last];
  return [...reduced(points.slice(0, at + 1), tolerance).slice(0, -1), ...reduced(points.slice(at), tolerance)];
}

function attach(part) {
  const element = part.closest?.(".plane") ?? part.querySelector?.(".plane");
  if (element) {
    for (const svg of element.querySelectorAll("svg.chart:not([data-drawable])")) {
      svg.dataset.drawable = "";
      new Plane(element, svg);
    }
    if (element.querySelector("svg.chart")) for (const tools of document.querySelectorAll("[data-brushes]")) tools.hidden = false;
  }
  press();
}

function press() {
  for (const button of document.querySelectorAll("[data-brush]")) button.setAttribute("aria-pressed", String(button.dataset.brush === brush));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-brush]");
  if (!button) return;
  brush = button.dataset.brush;
  document.querySelector(".plane")?.classList.add("is-armed");
  press();
});

// An address says what is asked for, not what is left out.
document.addEventListener("htmx:configRequest", (event) => {
  if (event.target.id !== "find-tokens") return;
  const { formData } = event.detail;
  for (const [name, value] of [...formData.entries()]) if (value === "") formData.delete(name);
});
document.addEventListener("htmx:load", (event) => attach(event.detail.elt));
attach(document);

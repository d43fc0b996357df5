// Draws a map's points. Colours and shapes are those of the legend on the page, so that both themes work.

const REST = 255;
const FEW = 6000; // so few points on paper get the legend's shapes, more get small squares
const SHAPES = {
  dot: (path, x, y, r) => { path.moveTo(x + r, y); path.arc(x, y, r, 0, 7); },
  square: (path, x, y, r) => path.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r),
  diamond: (path, x, y, r) => closed(path, [[x, y - 1.25 * r], [x + 1.25 * r, y], [x, y + 1.25 * r], [x - 1.25 * r, y]]),
  triangle: (path, x, y, r) => closed(path, [[x, y - 1.15 * r], [x + 1.1 * r, y + 0.85 * r], [x - 1.1 * r, y + 0.85 * r]]),
};

function closed(path, corners) {
  corners.forEach(([x, y], i) => (i ? path.lineTo(x, y) : path.moveTo(x, y)));
  path.closePath();
}

// Colour, shape and label of every code, from the legend's entries, in the order in which they are painted: first
// what has no colour of its own, then, of categories, the commonest, so that the rare ones lie on top. Shades of one
// measure are painted together, else one would hide the others.
export function legendOf(list) {
  const isOrdered = "ordered" in list.dataset;
  const entries = [...list.querySelectorAll("[data-code]")].map((entry) => ({
    code: Number(entry.dataset.code),
    turn: Number(entry.dataset.code) === REST ? Infinity : isOrdered ? 0 : Number(entry.dataset.n),
    colour: getComputedStyle(entry.querySelector("path, circle")).fill,
    shape: entry.dataset.shape,
    label: entry.dataset.label ?? "",
    x: Number(entry.dataset.x),
    y: Number(entry.dataset.y),
  }));
  return entries.sort((a, b) => (a.turn === b.turn ? 0 : b.turn - a.turn));
}

// Places of the points, those painted first in front; the legend's order decides.
function painted(codes, legend) {
  const turns = [...new Set(legend.map((entry) => entry.turn))];
  const turnOf = new Uint8Array(256).fill(turns.length);
  for (const { code, turn } of legend) turnOf[code] = turns.indexOf(turn);
  const next = new Uint32Array(turns.length + 2);
  for (const code of codes) next[turnOf[code] + 1] += 1;
  for (let turn = 1; turn < next.length; turn += 1) next[turn] += next[turn - 1];
  const order = new Uint32Array(codes.length);
  for (let i = 0; i < codes.length; i += 1) order[next[turnOf[codes[i]]]++] = i;
  return order;
}

export class Drawing {
  constructor(canvas, points) {
    this.canvas = canvas;
    this.points = points;
    this.context = canvas.getContext("2d");
    this.base = document.createElement("canvas"); // all points, kept until the view or the colours change
    this.isStale = true;
  }

  resize() {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const { clientWidth, clientHeight } = this.canvas;
    this.ratio = ratio;
    for (const one of [this.canvas, this.base]) {
      one.width = Math.round(clientWidth * ratio);
      one.height = Math.round(clientHeight * ratio);
    }
    this.isStale = true;
  }

  recolour(legend) {
    this.legend = legend;
    this.order = painted(this.points.codes, legend);
    const style = getComputedStyle(this.canvas);
    this.ink = style.color;
    this.paper = style.backgroundColor;
    this.accent = style.outlineColor;
    this.font = style.fontFamily;
    this.isStale = true;
  }

  // over: {selected, near: places or −1; area: corners; isOpen: still being drawn; hasCross: mark the middle}
  draw(view, over) {
    if (!this.base.width || !this.base.height) return; // not laid out yet: its size brings the next drawing
    if (this.isStale) this.drawPoints(view);
    this.isStale = false;
    const { context, ratio } = this;
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.drawImage(this.base, 0, 0);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.drawLabels(view);
    if (over.area.length > 1) this.drawArea(view, over);
    if (over.near >= 0) this.drawRing(view, over.near, 7, this.ink, 1.5);
    if (over.selected >= 0) this.drawRing(view, over.selected, 8, this.accent, 3);
    if (over.hasCross) this.drawCross();
  }

  drawPoints(view) {
    const { points, base, ratio } = this;
    const [width, height] = [base.width, base.height];
    const [scale, left, top] = [view.scale * ratio, view.left(width / ratio) * 1, view.top(height / ratio) * 1];
    const shown = new Uint32Array(points.n);
    let n = 0;
    for (const i of this.order) {
      const px = (points.x[i] - left) * scale;
      const py = (top - points.y[i]) * scale;
      if (px > -8 && py > -8 && px < width + 8 && py < height + 8) shown[n++] = i;
    }
    this.nShown = n;
    const at = { scale, left, top, shown: shown.subarray(0, n) };
    const context = base.getContext("2d");
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, width, height);
    if (n > FEW) context.putImageData(this.squares(at, context.createImageData(width, height)), 0, 0);
    else this.drawShapes(at, context);
  }

  squares({ scale, left, top, shown }, image) {
    const { points, ratio } = this;
    const { width, height } = image;
    const pixels = new Uint32Array(image.data.buffer);
    const side = Math.max(Math.round((shown.length > 40000 ? 1.5 : 2.5) * ratio), 2);
    const colours = new Uint32Array(256);
    for (const { code, colour } of this.legend) colours[code] = packed(colour);
    for (const i of shown) {
      const px = Math.round((points.x[i] - left) * scale - side / 2);
      const py = Math.round((top - points.y[i]) * scale - side / 2);
      const [from, to] = [Math.max(px, 0), Math.min(Math.max(px + side, 0), width)];
      for (let row = Math.max(py, 0); row < Math.min(py + side, height); row += 1) {
        for (let column = from; column < to; column += 1) pixels[row * width + column] = colours[points.codes[i]];
      }
    }
    return image;
  }

  drawShapes({ scale, left, top, shown }, context) {
    const { points, ratio } = this;
    const r = (shown.length > 4000 ? 2.5 : shown.length > 400 ? 3.25 : 4.5) * ratio;
    const paths = new Map(this.legend.map((entry) => [entry.code, new Path2D()]));
    const shapes = new Map(this.legend.map((entry) => [entry.code, SHAPES[entry.shape] ?? SHAPES.dot]));
    for (const i of shown) {
      const code = points.codes[i];
      if (paths.has(code)) shapes.get(code)(paths.get(code), (points.x[i] - left) * scale, (top - points.y[i]) * scale, r);
    }
    for (const { code, colour } of this.legend) {
      context.fillStyle = colour;
      context.fill(paths.get(code));
    }
  }

  drawLabels(view) {
    const { context } = this;
    context.font = `600 12px ${this.font}`;
    context.textAlign = "center";
    context.lineJoin = "round";
    const taken = [];
    for (const { label, x, y } of this.legend) {
      if (!label) continue;
      const [px, py] = view.toPixels(x, y, this.canvas);
      const box = [px - context.measureText(label).width / 2 - 3, py - 14, context.measureText(label).width + 6, 18];
      if (taken.some((other) => overlap(box, other))) continue; // the legend names it, too
      taken.push(box);
      context.strokeStyle = this.paper;
      context.lineWidth = 5;
      context.strokeText(label, px, py);
      context.fillStyle = this.ink;
      context.fillText(label, px, py);
    }
  }

  drawArea(view, { area, isOpen }) {
    const { context } = this;
    context.beginPath();
    area.forEach(([x, y], i) => {
      const [px, py] = view.toPixels(x, y, this.canvas);
      if (i) context.lineTo(px, py); else context.moveTo(px, py);
    });
    if (!isOpen) context.closePath();
    context.strokeStyle = this.accent;
    context.lineWidth = 1.5;
    context.stroke();
    context.globalAlpha = 0.08;
    context.fillStyle = this.accent;
    context.fill();
    context.globalAlpha = 1;
  }

  drawRing(view, place, r, colour, width) {
    const { context, points } = this;
    const [px, py] = view.toPixels(points.x[place], points.y[place], this.canvas);
    for (const [stroke, thick] of [[this.paper, width + 3], [colour, width]]) {
      context.beginPath();
      context.arc(px, py, r, 0, 7);
      context.strokeStyle = stroke;
      context.lineWidth = thick;
      context.stroke();
    }
  }

  drawCross() {
    const { context } = this;
    const [x, y] = [this.canvas.clientWidth / 2, this.canvas.clientHeight / 2];
    context.strokeStyle = this.ink;
    context.lineWidth = 1;
    context.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      context.moveTo(x + 4 * dx, y + 4 * dy);
      context.lineTo(x + 10 * dx, y + 10 * dy);
    }
    context.stroke();
  }
}

function overlap([ax, ay, aw, ah], [bx, by, bw, bh]) {
  return ax < bx + bw && bx < ax + aw && ay < by + bh && by < ay + ah;
}

const little = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });

// A colour as the canvas' pixels hold it.
function packed(colour) {
  little.fillStyle = colour;
  little.fillRect(0, 0, 1, 1);
  return new Uint32Array(little.getImageData(0, 0, 1, 1).data.buffer)[0];
}

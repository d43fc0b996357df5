// What the similarity matrix's canvas shows: pixels, the clusters' lines and ranks, the crosshairs; and all of it as a file.

export const LEFT = 40; // room for the ranks, in CSS pixels
export const TOP = 24;
const LEAST_BLOCK = 8; // pixels; smaller clusters get neither line nor name

export class Picture {
  constructor(canvas, config, tiles, colours) {
    Object.assign(this, { canvas, config, tiles, colours, context: canvas.getContext("2d") });
  }

  // frame: the place (x, y) in the middle, z CSS pixels a pair, the plot's side in CSS pixels, device pixels to one
  draw(frame, cursor, hover) {
    this.frame = frame;
    const { context, config: { n } } = this;
    const { plot, ratio } = frame;
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    context.save();
    context.beginPath();
    const [left, top] = [Math.max(LEFT, this.acrossX(0)), Math.max(TOP, this.acrossY(0))];
    context.rect(left, top, Math.min(LEFT + plot, this.acrossX(n)) - left, Math.min(TOP + plot, this.acrossY(n)) - top);
    context.clip();
    this.drawPixels();
    this.drawClusters();
    context.restore();
    this.drawNames();
    if (cursor) this.drawCross(cursor, this.colours.accent);
    if (hover) this.drawCross(hover, this.colours.ink);
  }

  acrossX(place) {
    return LEFT + this.frame.plot / 2 + (place - this.frame.x) * this.frame.z;
  }

  acrossY(place) {
    return TOP + this.frame.plot / 2 + (place - this.frame.y) * this.frame.z;
  }

  // ── pixels ──
  drawPixels() {
    const { context, config, frame: { x, y, z, plot, ratio } } = this;
    const level = Math.min(Math.max(Math.round(-Math.log2(z * ratio)), 0), config.levels - 1);
    const span = config.tile * 2 ** level;
    const half = plot / z / 2;
    const most = Math.ceil(config.n / span) - 1;
    const range = (middle) => [Math.max(Math.floor((middle - half) / span), 0), Math.min(Math.floor((middle + half) / span), most)];
    const [firstColumn, lastColumn] = range(x);
    const [firstRow, lastRow] = range(y);
    context.imageSmoothingEnabled = z * ratio * 2 ** level < 0.99;
    for (let row = firstRow; row <= lastRow; row += 1) {
      for (let column = firstColumn; column <= lastColumn; column += 1) this.drawTile(level, column, row);
    }
  }

  // A tile, or what a coarser one that is here already shows of it.
  drawTile(level, column, row) {
    const { config, tiles } = this;
    const side = config.tile * 2 ** level;
    const own = tiles.get(level, column, row);
    if (own) {
      this.put(own, [0, 0, own.width, own.height], column * side, row * side, 2 ** level);
      return;
    }
    for (let coarser = level + 1; coarser < config.levels; coarser += 1) {
      const factor = 2 ** (coarser - level);
      const at = [Math.floor(column / factor), Math.floor(row / factor)];
      const parent = tiles.has(coarser, ...at) || coarser === config.levels - 1 ? tiles.get(coarser, ...at) : null;
      if (!parent) continue;
      const width = config.tile / factor;
      const source = [(column % factor) * width, (row % factor) * width];
      const part = [...source, Math.min(width, parent.width - source[0]), Math.min(width, parent.height - source[1])];
      if (part[2] > 0 && part[3] > 0) this.put(parent, part, column * side, row * side, 2 ** coarser);
      return;
    }
  }

  // part of a picture, each of its pixels `step` places wide, from the place (column, row) on
  put(picture, [sx, sy, width, height], column, row, step) {
    const snap = (value) => Math.round(value * this.frame.ratio) / this.frame.ratio; // no seams between tiles
    const [x0, x1] = [snap(this.acrossX(column)), snap(this.acrossX(column + width * step))];
    const [y0, y1] = [snap(this.acrossY(row)), snap(this.acrossY(row + height * step))];
    this.context.drawImage(picture, sx, sy, width, height, x0, y0, x1 - x0, y1 - y0);
  }

  // ── clusters ──
  // those in sight whose block is large enough: [rank, first place, end]
  *visible(middle) {
    const { z, plot } = this.frame;
    const { starts } = this.config;
    const half = plot / z / 2;
    for (let rank = this.rankAt(Math.max(Math.floor(middle - half), 0)); rank < starts.length; rank += 1) {
      const [first, end] = [starts[rank - 1], starts[rank]];
      if (first > middle + half) return;
      if ((end - first) * z >= LEAST_BLOCK) yield [rank, first, end];
    }
  }

  rankAt(place) {
    const { starts } = this.config;
    let [low, high] = [0, starts.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (starts[middle] <= place) low = middle;
      else high = middle;
    }
    return low + 1;
  }

  drawClusters() {
    const { context, frame: { x, y, z, plot, ratio } } = this;
    context.strokeStyle = this.colours.ink;
    context.lineWidth = 1 / ratio;
    context.globalAlpha = 0.16;
    context.beginPath();
    for (const [, , end] of this.visible(x)) { context.moveTo(this.acrossX(end), TOP); context.lineTo(this.acrossX(end), TOP + plot); }
    for (const [, , end] of this.visible(y)) { context.moveTo(LEFT, this.acrossY(end)); context.lineTo(LEFT + plot, this.acrossY(end)); }
    context.stroke();
    context.globalAlpha = 0.75;
    for (const [, first, end] of this.visible(x)) {
      context.strokeRect(this.acrossX(first), this.acrossY(first), (end - first) * z, (end - first) * z);
    }
    context.globalAlpha = 1;
  }

  drawNames() {
    const { context, frame: { x, y, plot } } = this;
    context.font = `12px ${this.colours.family}`;
    context.fillStyle = this.colours.muted;
    context.textBaseline = "middle";
    context.textAlign = "right";
    context.fillText("rank", LEFT - 6, TOP / 2);
    context.textAlign = "center";
    for (const [rank, first, end] of this.visible(x)) {
      const [from, to] = [Math.max(this.acrossX(first), LEFT), Math.min(this.acrossX(end), LEFT + plot)];
      if (to - from >= context.measureText(rank).width + 5) context.fillText(rank, (from + to) / 2, TOP / 2);
    }
    context.textAlign = "right";
    for (const [rank, first, end] of this.visible(y)) {
      const [from, to] = [Math.max(this.acrossY(first), TOP), Math.min(this.acrossY(end), TOP + plot)];
      if (to - from >= 12) context.fillText(rank, LEFT - 6, (from + to) / 2);
    }
  }

  drawCross([row, column], colour) {
    const { context, frame: { z, plot } } = this;
    const [x, y] = [this.acrossX(column), this.acrossY(row)];
    const side = Math.max(z, 5);
    context.save();
    context.beginPath();
    context.rect(LEFT, TOP, plot, plot);
    context.clip();
    context.strokeStyle = colour;
    context.lineWidth = 1;
    context.globalAlpha = 0.55;
    context.beginPath();
    context.moveTo(LEFT, y + z / 2);
    context.lineTo(x + z / 2 - side, y + z / 2);
    context.moveTo(x + z / 2 + side, y + z / 2);
    context.lineTo(LEFT + plot, y + z / 2);
    context.moveTo(x + z / 2, TOP);
    context.lineTo(x + z / 2, y + z / 2 - side);
    context.moveTo(x + z / 2, y + z / 2 + side);
    context.lineTo(x + z / 2, TOP + plot);
    context.stroke();
    context.globalAlpha = 1;
    context.lineWidth = 1.5;
    context.strokeRect(x + z / 2 - side / 2, y + z / 2 - side / 2, side, side);
    context.restore();
  }

  // ── a file: the canvas with its title and the scale of its colours ──
  save(title, ticks) {
    const { canvas, colours, frame: { plot, ratio } } = this;
    const [margin, head, foot] = [16, 34, 40];
    const out = document.createElement("canvas");
    out.width = canvas.width + 2 * margin * ratio;
    out.height = canvas.height + (head + foot) * ratio;
    const paper = out.getContext("2d");
    paper.fillStyle = colours.paper;
    paper.fillRect(0, 0, out.width, out.height);
    paper.drawImage(canvas, margin * ratio, head * ratio);
    paper.scale(ratio, ratio);
    paper.fillStyle = colours.ink;
    paper.font = `600 13px ${colours.family}`;
    paper.fillText(title, margin, 22, out.width / ratio - 2 * margin);
    const y = head + TOP + plot + 10;
    for (let i = 0; i < 240; i += 1) {
      const colour = this.tiles.colourAt(i / 239);
      paper.fillStyle = `rgb(${colour & 255} ${(colour >> 8) & 255} ${(colour >> 16) & 255})`;
      paper.fillRect(margin + LEFT + i, y, 1.5, 10);
    }
    paper.fillStyle = colours.muted;
    paper.font = `12px ${colours.family}`;
    ["left", "center", "right"].forEach((align, i) => {
      paper.textAlign = align;
      paper.fillText(ticks[i], margin + LEFT + i * 120, y + 24);
    });
    out.toBlob((blob) => download(blob, `${this.config.name}.png`), "image/png");
  }
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

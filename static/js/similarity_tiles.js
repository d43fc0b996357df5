// Tiles of the similarity matrix: fetched once, kept as one byte a pixel, coloured by the page's own scale.

const MOST = 400; // tiles kept: 26 MB of bytes, and as many canvases as were drawn
const AT_ONCE = 6;
const AGAIN_MS = 4000;

export class Tiles {
  constructor(config, changed) {
    this.config = config;
    this.changed = changed;
    this.known = new Map(); // "level/column/row" → { codes, width, height, picture }
    this.waiting = []; // the newest is fetched first
    this.failed = new Map();
    this.running = 0;
    this.busySince = 0;
    this.colours = new Uint32Array(256);
  }

  // stops: [[r, g, b], …] from one end of the scale to the other; ground: what lies outside
  recolour(stops, ground) {
    this.config.positions.forEach((at, code) => {
      this.colours[code] = packed(at === null ? ground : mixed(stops, at));
    });
    for (const tile of this.known.values()) tile.picture = null;
  }

  colourAt(at) {
    const known = this.config.positions;
    let best = 1;
    known.forEach((value, code) => {
      if (value !== null && Math.abs(value - at) < Math.abs(known[best] - at)) best = code;
    });
    return this.colours[best];
  }

  // The tile as a canvas, or null while it is on its way.
  get(level, column, row) {
    const name = `${level}/${column}/${row}`;
    const tile = this.known.get(name);
    if (!tile) {
      this.ask(name);
      return null;
    }
    this.known.delete(name); // the one used last stands last
    this.known.set(name, tile);
    return (tile.picture ??= this.painted(tile));
  }

  get isBusy() {
    return this.running > 0;
  }

  get hasFailed() {
    return this.failed.size > 0;
  }

  has(level, column, row) {
    return this.known.has(`${level}/${column}/${row}`);
  }

  ask(name) {
    const before = this.failed.get(name);
    if (before && performance.now() - before < AGAIN_MS) return;
    const place = this.waiting.indexOf(name);
    if (place >= 0) this.waiting.splice(place, 1);
    this.waiting.push(name);
    if (this.waiting.length > 60) this.waiting.shift(); // long out of sight
    queueMicrotask(() => this.next());
  }

  async next() {
    if (this.running >= AT_ONCE || !this.waiting.length) return;
    const name = this.waiting.pop();
    if (this.known.has(name)) return;
    if (!this.running) this.busySince = performance.now();
    this.running += 1;
    this.known.set(name, { codes: null });
    try {
      const response = await fetch(`${this.config.tiles}${name}.png`);
      if (!response.ok) throw new Error(`${response.status}`);
      this.known.set(name, await decoded(await response.blob()));
      this.failed.delete(name);
    } catch {
      this.known.delete(name);
      this.failed.set(name, performance.now());
    }
    this.running -= 1;
    for (const oldest of this.known.keys()) {
      if (this.known.size <= MOST) break;
      this.known.delete(oldest);
    }
    this.next();
    this.changed();
  }

  painted({ codes, width, height }) {
    if (!codes) return null;
    const picture = document.createElement("canvas");
    picture.width = width;
    picture.height = height;
    const context = picture.getContext("2d");
    const image = context.createImageData(width, height);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < codes.length; i += 1) pixels[i] = this.colours[codes[i]];
    context.putImageData(image, 0, 0);
    return picture;
  }
}

async function decoded(blob) {
  const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none", premultiplyAlpha: "none" });
  const { width, height } = bitmap;
  const canvas = document.createElement("canvas");
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(bitmap, 0, 0);
  bitmap.close();
  const { data } = context.getImageData(0, 0, width, height);
  const codes = new Uint8Array(width * height);
  for (let i = 0; i < codes.length; i += 1) codes[i] = data[4 * i];
  return { codes, width, height, picture: null };
}

function mixed(stops, at) {
  const place = at * (stops.length - 1);
  const first = Math.min(Math.floor(place), stops.length - 2);
  return stops[first].map((value, i) => Math.round(value + (stops[first + 1][i] - value) * (place - first)));
}

const packed = ([red, green, blue]) => ((255 << 24) | (blue << 16) | (green << 8) | red) >>> 0; // little-endian RGBA

export const channels = (colour) => colour.match(/[\d.]+/g).slice(0, 3).map(Number);

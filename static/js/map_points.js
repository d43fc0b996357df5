// The points of a map: read from their binary, found by place and by token. Numbers only; nothing here is drawn.

const CELLS = 200; // along each side of the grid in which the nearest point is looked for

export async function load(stage) {
  const [positions, colours] = await Promise.all([bytes(stage.dataset.positions), bytes(stage.dataset.colours)]);
  const n = positions.byteLength / 12;
  const x = new Float32Array(positions, 0, n);
  const y = new Float32Array(positions, 4 * n, n);
  const tokens = new Float64Array(n);
  const steps = new Uint32Array(positions, 8 * n, n);
  let token = 0;
  for (let i = 0; i < n; i += 1) tokens[i] = token += steps[i];
  return { n, x, y, tokens, codes: new Uint8Array(colours), grid: gridOf(x, y, n) };
}

async function bytes(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${address}: ${response.status}`);
  return response.arrayBuffer();
}

// Points sorted by the cell that they lie in: those of cell c are order[starts[c]] … order[starts[c + 1] − 1].
function gridOf(x, y, n) {
  let [left, right, bottom, top] = [Infinity, -Infinity, Infinity, -Infinity];
  for (let i = 0; i < n; i += 1) {
    left = Math.min(left, x[i]); right = Math.max(right, x[i]);
    bottom = Math.min(bottom, y[i]); top = Math.max(top, y[i]);
  }
  const size = Math.max(right - left, top - bottom, 1e-9) / (CELLS - 1);
  const cells = new Uint32Array(n);
  const starts = new Uint32Array(CELLS * CELLS + 1);
  for (let i = 0; i < n; i += 1) {
    cells[i] = Math.floor((x[i] - left) / size) * CELLS + Math.floor((y[i] - bottom) / size);
    starts[cells[i] + 1] += 1;
  }
  for (let c = 0; c < CELLS * CELLS; c += 1) starts[c + 1] += starts[c];
  const next = starts.slice();
  const order = new Uint32Array(n);
  for (let i = 0; i < n; i += 1) order[next[cells[i]]++] = i;
  return { left, bottom, size, starts, order };
}

// Place of the point nearest to (x, y) within `reach`, or −1; `skip` holds places that don't count.
export function nearest(points, x, y, reach, skip = null) {
  const { grid } = points;
  const column = (value) => Math.min(Math.max(Math.floor((value - grid.left) / grid.size), 0), CELLS - 1);
  const row = (value) => Math.min(Math.max(Math.floor((value - grid.bottom) / grid.size), 0), CELLS - 1);
  let [found, best] = [-1, reach * reach];
  for (let c = column(x - reach); c <= column(x + reach); c += 1) {
    for (let at = grid.starts[c * CELLS + row(y - reach)]; at < grid.starts[c * CELLS + row(y + reach) + 1]; at += 1) {
      const i = grid.order[at];
      const distance = (points.x[i] - x) ** 2 + (points.y[i] - y) ** 2;
      if (distance < best && !skip?.has(i)) [found, best] = [i, distance];
    }
  }
  return found;
}

// Place of a token among the points, or −1; tokens ascend.
export function placeOf(points, token) {
  let [low, high] = [0, points.n];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (points.tokens[middle] < token) low = middle + 1; else high = middle;
  }
  return low < points.n && points.tokens[low] === token ? low : -1;
}

// A drawn line with at most `most` corners: those go first that bend it least (Ramer, Douglas and Peucker).
export function simplified(line, most, tolerance) {
  let kept = line;
  while (kept.length > most) {
    kept = bent(line, tolerance);
    tolerance *= 1.6;
  }
  return kept;
}

function bent(line, tolerance) {
  const [first, last] = [line[0], line.at(-1)];
  const [dx, dy] = [last[0] - first[0], last[1] - first[1]];
  const length = Math.hypot(dx, dy);
  let [at, most] = [0, tolerance];
  for (let i = 1; i < line.length - 1; i += 1) {
    const [px, py] = [line[i][0] - first[0], line[i][1] - first[1]];
    const far = length ? Math.abs(px * dy - py * dx) / length : Math.hypot(px, py);
    if (far > most) [at, most] = [i, far];
  }
  if (!at) return [first, last];
  return [...bent(line.slice(0, at + 1), tolerance).slice(0, -1), ...bent(line.slice(at), tolerance)];
}

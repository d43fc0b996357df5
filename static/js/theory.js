// Sliders beside the knobs' fields. While one is dragged, or a field is typed in, the server says what follows: one
// question at a time, the last one always asked. The address follows when the hand rests.

const STEPS = 400; // of a slider
const REST_MS = 350; // until the address is written
const form = document.getElementById("knobs");
const sliders = new Map(); // of a field: what puts its slider in place

if (form) start();

function start() {
  for (const field of form.querySelectorAll("input[data-low]")) sliders.set(field, slide(field));
  form.addEventListener("reset", () => setTimeout(() => { for (const place of sliders.values()) place(); fit(); }));
  form.addEventListener("input", (event) => { if (!event.target.matches("[type=range]")) ask(); });
  form.addEventListener("submit", (event) => { event.preventDefault(); ask(); });
  fit();
}

// ── a slider for a field: evenly in the logarithm where the knob is ──
function slide(field) {
  const low = Number(field.dataset.low), high = Number(field.dataset.high), isLog = "log" in field.dataset;
  const slider = document.createElement("input");
  Object.assign(slider, { type: "range", min: 0, max: STEPS, step: 1 });
  slider.setAttribute("aria-label", field.labels[0].textContent.trim());
  const placed = () => {
    const shown = field.value.trim() || (document.querySelector("#results .stats").dataset[field.name] ?? ""); // or worked out
    const value = Number.parseFloat(shown);
    const share = isLog ? Math.log(value / low) / Math.log(high / low) : (value - low) / (high - low);
    slider.value = Number.isFinite(share) ? Math.round(share * STEPS) : STEPS; // ∞, or none: at the end
    slider.setAttribute("aria-valuetext", shown || field.placeholder);
  };
  slider.addEventListener("input", () => {
    const share = slider.valueAsNumber / STEPS;
    const value = isLog ? low * (high / low) ** share : low + (high - low) * share;
    field.value = rounded(value, "whole" in field.dataset);
    slider.setAttribute("aria-valuetext", field.value);
    ask();
  });
  field.addEventListener("input", placed);
  field.after(slider);
  placed();
  return placed;
}

function rounded(value, isWhole) {
  return isWhole ? String(Math.round(Number(value.toPrecision(3)))) : String(Number(value.toPrecision(3)));
}

// ── what the server says ──
let isAsking = false;
let timer = 0;

function query() {
  const typed = [...new FormData(form)].filter(([, value]) => value.trim());
  return new URLSearchParams(typed).toString();
}

async function ask() {
  fit();
  if (isAsking) return;
  isAsking = true;
  for (let asked = null; asked !== query();) {
    asked = query();
    try {
      const response = await fetch(`${form.action.split("?")[0]}?${asked}`, { headers: { "HX-Request": "true" } });
      if (response.ok) show(await response.text());
    } catch { /* the next move asks again */ }
  }
  isAsking = false;
}

function show(text) {
  const next = new DOMParser().parseFromString(text, "text/html").getElementById("results");
  const here = document.getElementById("results");
  if (!next || !here) return;
  const opened = [...here.querySelectorAll("figure details[open]")].map((one) => [one.closest("figure").id, one.className]);
  for (const [id, name] of opened) {
    const same = [...next.querySelectorAll(`#${CSS.escape(id)} details`)].find((one) => one.className === name);
    if (same) same.open = true;
  }
  const [told, ...rest] = next.children; // what is said stays one place, so that it is read out
  const wrong = new Set([...told.children].map((one) => one.dataset.field));
  here.firstElementChild.replaceChildren(...told.childNodes);
  while (here.lastElementChild !== here.firstElementChild) here.lastElementChild.remove();
  here.append(...rest);
  for (const [field, place] of sliders) if (!field.value.trim()) place();
  for (const field of form.elements) if (field.name) field.setAttribute("aria-invalid", wrong.has(field.name));
  document.dispatchEvent(new CustomEvent("htmx:load", { detail: { elt: here } })); // its buttons wake up
  clearTimeout(timer);
  timer = setTimeout(() => remember(next.dataset.permalink), REST_MS);
}

// The address, and with it the page's twins and presets.
function remember(permalink) {
  history.replaceState(history.state, "", permalink);
  for (const field of form.querySelectorAll("input[name]")) field.defaultValue = field.value; // what Back brings again
  for (const option of form.elements.case.options) option.defaultSelected = option.selected;
  const { search } = new URL(permalink, location.href);
  for (const link of document.querySelectorAll(".trail .twins a")) link.search = search;
  for (const chip of document.querySelectorAll(".presets a")) {
    const isHere = chip.search === search;
    chip.classList.toggle("on", isHere);
    if (isHere) chip.setAttribute("aria-current", "true"); else chip.removeAttribute("aria-current");
  }
}

// Knobs of another case stay out of the way.
function fit() {
  const chosen = form.elements.case.value;
  for (const knob of form.querySelectorAll("[data-case]")) knob.hidden = knob.dataset.case !== chosen;
}

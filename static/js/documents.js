// A token of the text is chosen by a click or by arrows, and its curves appear beside it. Without this, every token
// leads to its page. A click on the strip goes to that part of the text.

import { current, onSelect, select } from "./selection.js";

const WAIT_MS = 120;
let waiting = 0;

const text = () => document.querySelector("#text");
const panel = () => document.querySelector("#panel");
const boxOf = (token) => (token === null ? null : text()?.querySelector(`a[data-token="${CSS.escape(token)}"]`));

function choose(token) {
  if (token !== current()) select(token, { again: false });
}

onSelect((token) => {
  for (const form of document.querySelectorAll("#reading form")) keep(form, token);
  clearTimeout(waiting);
  if (token === null || panel().querySelector(`[data-token="${CSS.escape(token)}"]`)) return;
  waiting = setTimeout(() => {
    const unit = new URL(location.href).searchParams.get("unit");
    const address = `${panel().dataset.address}${token}.html?figure=panel${unit ? `&unit=${unit}` : ""}`;
    window.htmx.ajax("GET", address, { target: "#panel", swap: "innerHTML" });
  }, WAIT_MS);
});

// What a form sends on with its own choice.
function keep(form, token) {
  form.querySelector('input[name="token"]')?.remove();
  if (token === null) return;
  const field = document.createElement("input");
  Object.assign(field, { type: "hidden", name: "token", value: token });
  form.append(field);
}

document.addEventListener("click", (event) => {
  if (event.defaultPrevented || event.button || event.ctrlKey || event.metaKey || event.shiftKey) return;
  const box = event.target.closest?.("#text a[data-token]");
  if (box) {
    event.preventDefault();
    box.focus({ preventScroll: true });
    choose(box.dataset.token);
  }
  const strip = event.target.closest?.("#strip");
  if (strip) toPlace(strip, event.clientX);
});

// Arrows have moved the focus (tokens.js); the choice follows it. Tab and pointer only pass through.
document.addEventListener("keyup", (event) => {
  if (!["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  const box = document.activeElement?.closest?.("#text a[data-token]");
  if (box) choose(box.dataset.token);
});

function toPlace(strip, x) {
  const { left, width } = strip.getBoundingClientRect();
  const place = Math.floor(((x - left) / width) * Number(strip.dataset.tokens)) + 1; // position of the token
  const size = Number(strip.dataset.page);
  const here = new URL(location.href);
  const first = Number(text()?.dataset.first ?? 1) - 1;
  if (place >= first && place < first + size) {
    const box = boxOf(String(Number(strip.dataset.before) + place));
    box?.scrollIntoView({ block: "center" });
    if (box) { box.focus({ preventScroll: true }); choose(box.dataset.token); }
    return;
  }
  here.searchParams.set("page", Math.floor(place / size) + 1);
  here.searchParams.set("token", Number(strip.dataset.before) + place);
  here.hash = `t-${Number(strip.dataset.before) + place}`;
  location.assign(here);
}

boxOf(current())?.setAttribute("tabindex", "0");

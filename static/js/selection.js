// One token is selected on a page, and everything that shows it says so: rows, points, curves, canvases.
//
// Markup: data-token="<flat index>" on whatever shows a token. Hover or focus lights all of that token (.is-near), a
// click or Enter selects it (.is-on) and writes ?token= into the address. Links stay links.
// Canvases: import { select, near, onSelect, onNear } from "./selection.js".

const listeners = { select: new Set(), near: new Set() };
const address = new URL(location.href);
let selected = address.searchParams.get("token");
let nearest = null;

export const current = () => selected;
export const onSelect = (listener) => listeners.select.add(listener);
export const onNear = (listener) => listeners.near.add(listener);

export function select(token, { again = true } = {}) {
  selected = again && token === selected ? null : token;
  mark(document);
  const here = new URL(location.href);
  if (selected === null) here.searchParams.delete("token");
  else here.searchParams.set("token", selected);
  history.replaceState(history.state, "", here);
  for (const link of document.querySelectorAll("a[data-keeps-token]")) {
    const target = new URL(link.href);
    if (selected === null) target.searchParams.delete("token");
    else target.searchParams.set("token", selected);
    link.href = target.href;
  }
  for (const listener of listeners.select) listener(selected);
}

export function near(token) {
  if (token === nearest) return;
  nearest = token;
  for (const element of document.querySelectorAll(".is-near")) element.classList.remove("is-near");
  if (token !== null) for (const element of all(document, token)) element.classList.add("is-near");
  for (const listener of listeners.near) listener(token);
}

function all(part, token) {
  return part.querySelectorAll(`[data-token="${CSS.escape(token)}"]`);
}

function mark(part) {
  for (const element of part.querySelectorAll("[data-token].is-on")) {
    element.classList.remove("is-on");
    element.removeAttribute("aria-current");
  }
  if (selected === null) return;
  for (const element of all(part, selected)) {
    element.classList.add("is-on");
    element.setAttribute("aria-current", "true");
  }
}

const tokenOf = (event) => event.target.closest?.("[data-token]")?.dataset.token ?? null;
const isOwn = (event) => event.target.closest?.("a[href], button, summary, input, select, label, textarea, canvas");

document.addEventListener("pointerover", (event) => near(tokenOf(event)));
document.addEventListener("focusin", (event) => near(tokenOf(event)));
document.addEventListener("click", (event) => {
  const token = tokenOf(event);
  if (token === null || isOwn(event) || !getSelection().isCollapsed) return;
  select(token);
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.defaultPrevented || isOwn(event)) return;
  const token = tokenOf(event);
  if (token !== null) select(token);
});
document.addEventListener("htmx:load", (event) => mark(event.detail.elt));
mark(document);

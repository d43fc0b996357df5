// Small helps that every page has; each page reads and works without them.

import "./outage.js";

const root = document.documentElement;

// ── keys: a person's own stand for the usual ones, which is all that the rest of the site knows ──
const typing = (element) => element?.closest?.("input, textarea, select, [contenteditable]");
const own = JSON.parse(document.body.dataset.keymap ?? "{}"); // usual → own
const usual = new Map(Object.entries(own).map(([from, to]) => [to, from]));
const CAPS = { ArrowLeft: "←", ArrowRight: "→", ArrowUp: "↑", ArrowDown: "↓", "-": "−" };
const isFreed = (key) => key in own && !key.startsWith("Arrow"); // arrows also move within contexts, maps and sliders
if (usual.size) addEventListener("keydown", (event) => {
  if (!event.isTrusted || event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
  const key = usual.get(event.key);
  if (!key && !isFreed(event.key)) return;
  event.stopImmediatePropagation();
  if (!key) return;
  const { shiftKey, repeat } = event;
  const translated = new KeyboardEvent("keydown", { key, shiftKey, repeat, bubbles: true, cancelable: true });
  if (!event.target.dispatchEvent(translated)) event.preventDefault();
}, true);

function showKeys(part) {
  if (!usual.size) return;
  const caps = new Map(Object.entries(own).map(([from, to]) => [CAPS[from] ?? from, CAPS[to] ?? to]));
  for (const cap of part.querySelectorAll("kbd:not([data-cap])")) {
    cap.dataset.cap = cap.textContent.trim(); // as the page was written: each is translated once
    if (caps.has(cap.dataset.cap)) cap.textContent = caps.get(cap.dataset.cap);
  }
}

// ── fields for keys take the key itself ──
document.querySelector("[data-key-fields]")?.addEventListener("keydown", (event) => {
  const field = event.target;
  if (!field.matches("input[type=text]") || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key.length === 1 ? event.key === " " : !(event.key in CAPS)) return;
  event.preventDefault();
  field.value = CAPS[event.key] ?? event.key;
});

// ── theme: at once, and kept in the cookie that the server reads; the profile hears of it, too ──
const themeForm = document.querySelector("[data-theme-form]");
themeForm?.addEventListener("change", (event) => {
  const theme = event.target.value;
  if (!["auto", "light", "dark"].includes(theme)) return;
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax${secure}`;
  if (theme === "auto") root.removeAttribute("data-theme");
  else root.setAttribute("data-theme", theme);
  if ("kept" in themeForm.dataset) fetch(themeForm.action, { method: "POST", body: new FormData(themeForm), redirect: "manual" }).catch(() => {});
});

// ── the account's menu closes as menus do ──
const menu = document.querySelector("details.menu");
if (menu) {
  document.addEventListener("click", (event) => { if (!menu.contains(event.target)) menu.open = false; });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !menu.open) return;
    menu.open = false;
    menu.querySelector("summary").focus();
    event.preventDefault();
  });
}

// ── copy: the address (it holds the whole state), or the text of another element: <button data-copy="#id" hidden> ──
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-copy-permalink], [data-copy]");
  if (!button) return;
  const source = button.dataset.copy && document.querySelector(button.dataset.copy);
  copy(button, source ? (source.value ?? source.textContent).trim() : permalink());
});

// what a person's profile decides is said in the address that they pass on
function permalink() {
  const address = new URL(location.href);
  const { unit } = document.body.dataset;
  if (unit && address.pathname.startsWith("/runs/") && !address.searchParams.has("unit")) address.searchParams.set("unit", unit);
  return address.href;
}

async function copy(button, text) {
  const label = button.textContent;
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = "Copied";
  } catch {
    button.textContent = "Copying is not allowed here";
  }
  setTimeout(() => { button.textContent = label; }, 1600);
}

// ── buttons that need this script are hidden until it runs; htmx brings new ones ──
function show(part) {
  const found = part.querySelectorAll("[data-png]");
  if (navigator.clipboard) for (const button of part.querySelectorAll("[data-copy-permalink], [data-copy]")) button.hidden = false;
  for (const button of found) button.hidden = false;
  if (found.length) import("./png.js");
  showKeys(part);
}
show(document);
document.addEventListener("htmx:load", (event) => show(event.detail.elt));

// ── selects that send their form at once: <select data-submit> (a button stands in <noscript>) ──
document.addEventListener("change", (event) => {
  if (event.target.matches?.("[data-submit]")) event.target.form?.requestSubmit();
});

// ── a choice made while the scripts were still on their way counts like any other ──
const hasChanged = (field) => {
  if (field.type === "range") return field.hasAttribute("value") && field.value !== field.defaultValue;
  if (!field.options) return field.checked !== field.defaultChecked && (field.checked || field.type === "checkbox");
  return field.selectedIndex !== Math.max(0, [...field.options].findIndex((option) => option.defaultSelected));
};
addEventListener("DOMContentLoaded", () => {
  for (const field of document.querySelectorAll("[data-submit], [data-slider], input[type=range]")) {
    if (field.form?.autocomplete !== "off" || !hasChanged(field)) continue;
    for (const name of ["input", "change"]) field.dispatchEvent(new Event(name, { bubbles: true }));
  }
});

// ── Back: a page from the browser's memory says again what its address asks for ──
addEventListener("pageshow", (event) => {
  if (event.persisted) for (const form of document.querySelectorAll("form[autocomplete=off]")) form.reset();
});

// ── keys: data-key="ArrowLeft" on a link, button or field; off while one types ──
document.addEventListener("keydown", (event) => {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.key === "Escape" && typing(event.target)) { event.target.blur(); return; }
  if (typing(event.target)) return;
  const target = [...document.querySelectorAll("[data-key]")].find((element) => element.dataset.key === event.key);
  if (!target) return;
  event.preventDefault();
  if (target.matches("input, textarea, select")) { target.focus(); target.select?.(); } else target.click();
});

// ── the bar of a run's pages, where it is too narrow for all of them, shows the page that is open ──
document.querySelector(".pages [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

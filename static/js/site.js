// Small helps that every page has; each page reads and works without them.

const root = document.documentElement;

// ── theme: at once, and kept in the cookie that the server reads ──
const themeForm = document.querySelector("[data-theme-form]");
themeForm?.addEventListener("change", (event) => {
  const theme = event.target.value;
  if (!["auto", "light", "dark"].includes(theme)) return;
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `theme=${theme}; path=/; max-age=31536000; samesite=lax${secure}`;
  if (theme === "auto") root.removeAttribute("data-theme");
  else root.setAttribute("data-theme", theme);
});

// ── copy: the address (it holds the whole state), or the text of another element: <button data-copy="#id" hidden> ──
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-copy-permalink], [data-copy]");
  if (!button) return;
  const source = button.dataset.copy && document.querySelector(button.dataset.copy);
  copy(button, source ? (source.value ?? source.textContent).trim() : location.href);
});

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
}
show(document);
document.addEventListener("htmx:load", (event) => show(event.detail.elt));

// ── selects that send their form at once: <select data-submit> (a button stands in <noscript>) ──
document.addEventListener("change", (event) => {
  if (event.target.matches?.("[data-submit]")) event.target.form?.requestSubmit();
});

// ── Back: a page from the browser's memory says again what its address asks for ──
addEventListener("pageshow", (event) => {
  if (event.persisted) for (const form of document.querySelectorAll("form[autocomplete=off]")) form.reset();
});

// ── keys: data-key="ArrowLeft" on a link, button or field; off while one types ──
const typing = (element) => element?.closest?.("input, textarea, select, [contenteditable]");
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

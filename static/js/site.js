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

// ── permalink: the address already holds the whole state ──
for (const button of document.querySelectorAll("[data-copy-permalink]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", () => copy(button, location.href));
}

// ── copy the text of another element: <button data-copy="#id" hidden> ──
for (const button of document.querySelectorAll("[data-copy]")) {
  const source = document.querySelector(button.dataset.copy);
  if (!source || !navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", () => copy(button, (source.value ?? source.textContent).trim()));
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

// ── selects that send their form at once: <select data-submit> (a button stands in <noscript>) ──
document.addEventListener("change", (event) => {
  if (event.target.matches?.("[data-submit]")) event.target.form?.requestSubmit();
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

// ── PNG of a chart, drawn from its SVG ──
if (document.querySelector("[data-png]")) import("./png.js");

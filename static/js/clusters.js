// j and k walk the contexts of a cluster, ? shows the keys; what is selected stands in the address.

const rows = [...document.querySelectorAll(".ctxs > li[id]")];
const help = document.querySelector("dialog[data-keys]");
const typing = (element) => element?.closest?.("input, textarea, select, [contenteditable]");

function select(row, { scroll = true } = {}) {
  for (const other of rows) {
    other.classList.toggle("is-on", other === row);
    other.toggleAttribute("aria-current", other === row);
  }
  if (scroll) row.scrollIntoView({ block: "nearest" });
  row.querySelector(".ctx")?.focus({ preventScroll: true });
}

function move(step) {
  const at = rows.findIndex((row) => row.classList.contains("is-on"));
  const row = rows[Math.min(Math.max(at + step, 0), rows.length - 1)];
  if (!row) return;
  select(row);
  history.replaceState(history.state, "", `#${row.id}`);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target) || help?.open) return;
  if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === "?") help?.showModal();
  else return;
  event.preventDefault();
});

const named = rows.find((row) => `#${row.id}` === location.hash);
if (named) select(named, { scroll: false });

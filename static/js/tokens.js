// Arrows move within a context that has the focus; the page itself needs none of this.

function boxes(context) {
  return [...context.querySelectorAll("a.t")];
}

for (const context of document.querySelectorAll(".ctx")) {
  context.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || event.ctrlKey || event.metaKey || event.altKey) return;
    const all = boxes(context);
    const at = all.indexOf(document.activeElement);
    const from = at < 0 && step < 0 ? all.length : at;
    const next = all[from + step];
    if (next) next.focus();
    event.preventDefault(); // a context keeps its arrows, so that the page doesn't leave under the reader
  });
}

// Arrows move within a context that has the focus, also in one that came later; the page itself needs none of this.

document.addEventListener("keydown", (event) => {
  const context = event.target.closest?.(".ctx");
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!context || !step || event.ctrlKey || event.metaKey || event.altKey) return;
  const boxes = [...context.querySelectorAll("a.t")];
  const at = boxes.indexOf(document.activeElement);
  const from = at < 0 && step < 0 ? boxes.length : at;
  boxes[from + step]?.focus();
  event.preventDefault(); // a context keeps its arrows, so that the page doesn't leave under the reader
}, { capture: true });

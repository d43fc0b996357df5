// The form of the page of probes: a count of characters, and Ctrl+Enter asks. Arrows move within the text.

const field = document.querySelector("textarea[data-counted]");
const said = field && document.querySelector(field.dataset.counted);

function count() {
  const most = Number(said.dataset.most);
  said.textContent = `${field.value.length.toLocaleString("en")} of ${most.toLocaleString("en")} characters`;
}

if (said) {
  field.addEventListener("input", count);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) field.form.requestSubmit();
  });
  count();
}

document.addEventListener("keydown", (event) => {
  const text = event.target.closest?.("#answer .ctx");
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!text || !step || event.ctrlKey || event.metaKey || event.altKey) return;
  const links = [...text.querySelectorAll("a.t")];
  const at = links.indexOf(document.activeElement);
  const from = at < 0 ? (step < 0 ? links.length : links.findIndex((link) => link.ariaCurrent) - 1) : at;
  links[from + step]?.focus();
  event.preventDefault();
});

// htmx takes the text's links: the token that was chosen keeps the focus
document.addEventListener("htmx:afterSettle", (event) => {
  if (event.detail.elt?.id !== "answer" || document.activeElement !== document.body) return;
  document.querySelector("#answer #text a[aria-current]")?.focus({ preventScroll: true });
});

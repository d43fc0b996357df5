// A choice among ordered things becomes a slider beside its list: <select data-slider> in a form that htmx sends.
// Without this, the list alone does the same.

const WAIT_MS = 140;

function enhance(part) {
  for (const list of part.querySelectorAll("select[data-slider]:not([data-slid])")) {
    list.dataset.slid = "true";
    const slider = document.createElement("input");
    slider.type = "range";
    slider.min = 0;
    slider.max = list.options.length - 1;
    slider.value = list.selectedIndex;
    slider.setAttribute("aria-label", list.labels[0]?.textContent ?? "");
    slider.setAttribute("aria-valuetext", list.selectedOptions[0]?.text ?? "");
    slider.id = `${list.id}-slider`;
    list.before(slider);
    let waiting = 0;
    slider.addEventListener("input", () => {
      list.selectedIndex = slider.valueAsNumber;
      slider.setAttribute("aria-valuetext", list.selectedOptions[0].text);
      clearTimeout(waiting);
      waiting = setTimeout(() => list.dispatchEvent(new Event("change", { bubbles: true })), WAIT_MS);
    });
    slider.addEventListener("change", (event) => event.stopPropagation()); // the list tells the form
    list.addEventListener("change", () => { slider.value = list.selectedIndex; });
  }
}

// The slider that had the focus keeps it when its part of the page is brought anew.
let focused = "";
document.addEventListener("htmx:beforeSwap", () => { focused = document.activeElement?.id ?? ""; });
document.addEventListener("htmx:load", (event) => {
  enhance(event.detail.elt);
  if (focused.endsWith("-slider")) document.getElementById(focused)?.focus({ preventScroll: true });
});
enhance(document);

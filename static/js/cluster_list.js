// The cluster list: a slider over the run's ks, and an address that follows what is on screen.

// ── slider: says its k while it moves, goes there when it rests ──
const slider = document.querySelector("#k-slider");
if (slider) {
  const ks = slider.dataset.ks.trim().split(" ");
  const said = document.querySelector("output[for=k-slider]");
  const begun = slider.defaultValue;
  let waiting = 0;
  const go = () => {
    if (slider.value === begun) return;
    const target = new URL(location.href);
    target.pathname = target.pathname.replace(/\/k\/\d+\//, `/k/${ks[slider.value]}/`);
    target.searchParams.delete("after");
    target.hash = "";
    location.assign(target);
  };
  const say = () => {
    said.textContent = `k = ${ks[slider.value]}`;
    slider.setAttribute("aria-valuetext", said.textContent);
  };
  slider.addEventListener("input", say);
  slider.form.addEventListener("reset", () => setTimeout(say, 0)); // the reset comes after its event
  slider.addEventListener("change", () => { clearTimeout(waiting); waiting = setTimeout(go, 500); });
  slider.addEventListener("keydown", (event) => { if (event.key === "Enter") { event.preventDefault(); go(); } });
}

// ── address: names the part of the list on screen, so that Back, reload and a copied link lead there ──
const parts = () => [...document.querySelectorAll("[data-after]")];
let resting = 0;

function follow() {
  const all = parts();
  const part = all.filter((one) => one.getBoundingClientRect().top < innerHeight / 2).at(-1) ?? all[0];
  if (!part) return;
  const here = new URL(location.href);
  if (part.dataset.after) here.searchParams.set("after", part.dataset.after);
  else here.searchParams.delete("after");
  const offset = Math.round(-part.getBoundingClientRect().top);
  history.replaceState({ ...history.state, listOffset: offset }, "", here);
}

if (parts().length) {
  history.scrollRestoration = "manual";
  const offset = history.state?.listOffset;
  if (Number.isFinite(offset)) scrollTo({ top: parts()[0].getBoundingClientRect().top + scrollY + offset, behavior: "instant" });
  addEventListener("scroll", () => { clearTimeout(resting); resting = setTimeout(follow, 200); }, { passive: true });
}

// The slider over training steps: swaps the chosen checkpoint's marks, which the server has drawn for every step, and
// its numbers. Without this script a list of steps does the same with a page each.

const form = document.querySelector("[data-frames]");
const TURN = 8000; // milliseconds for a whole training run
const [QUICKEST, SLOWEST] = [70, 700]; // milliseconds a step

if (form) start();

function start() {
  const slider = form.querySelector("input[type=range]");
  const select = form.querySelector("select");
  const button = form.querySelector("[data-play]");
  const told = form.querySelector("[data-told]");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const state = { frames: null, loading: null, timer: 0 };

  delete select.dataset.submit; // no page needs to be fetched for a step
  slider.hidden = false;

  async function load() {
    state.loading ??= fetch(form.dataset.frames, { headers: { Accept: "application/json" } }).then((answer) => {
      if (!answer.ok) throw new Error(answer.statusText);
      return answer.json();
    });
    try {
      state.frames = (await state.loading).frames;
      told.textContent = "";
    } catch {
      state.loading = null;
      told.textContent = "The steps could not be read. Try again, or reload the page.";
    }
    return state.frames;
  }

  async function show(place, { keep = true } = {}) {
    slider.value = place;
    select.selectedIndex = place;
    slider.setAttribute("aria-valuetext", `step ${select.options[place].text}`);
    const frame = (state.frames ?? (await load()))?.[place];
    if (!frame || Number(slider.value) !== place) return;
    for (const [slug, marks] of Object.entries(frame.marks)) draw(slug, marks);
    for (const [name, text] of Object.entries(frame.values)) {
      for (const spot of document.querySelectorAll(`[data-value="${name}"]`)) spot.textContent = text;
    }
    if (keep) remember(frame.href);
  }

  function stop() {
    if (!state.timer) return;
    clearTimeout(state.timer);
    state.timer = 0;
    button.textContent = "Play";
    button.setAttribute("aria-pressed", "false");
    remember(state.frames[Number(slider.value)].href);
  }

  async function play() {
    if (!(await load())) return;
    const last = state.frames.length - 1;
    const wait = Math.min(SLOWEST, Math.max(QUICKEST, TURN / state.frames.length));
    let place = Number(slider.value) >= last ? 0 : Number(slider.value) + 1;
    button.textContent = "Pause";
    button.setAttribute("aria-pressed", "true");
    const turn = () => {
      show(place, { keep: false });
      if (place === last) {
        state.timer = -1;
        stop();
        return;
      }
      place += 1;
      state.timer = setTimeout(turn, wait);
    };
    turn();
  }

  slider.addEventListener("input", () => { stop(); show(Number(slider.value)); });
  slider.addEventListener("pointerenter", load, { once: true });
  slider.addEventListener("focus", load, { once: true });
  select.addEventListener("change", () => { stop(); show(select.selectedIndex); });
  form.addEventListener("submit", (event) => { event.preventDefault(); show(select.selectedIndex); });
  button.addEventListener("click", () => (state.timer ? stop() : play()));
  document.addEventListener("visibilitychange", () => { if (document.hidden) stop(); });
  const consider = () => { if (still.matches) stop(); button.hidden = still.matches; };
  still.addEventListener("change", consider);
  consider();
}

function draw(slug, marks) {
  const figure = document.getElementById(`fig-${slug}`);
  for (const mark of figure?.querySelectorAll("path.sact, circle.fact") ?? []) {
    for (const [name, value] of Object.entries(marks)) mark.setAttribute(name, value);
  }
}

// The address names the checkpoint, and so do the page's links to itself and to its twins.
function remember(href) {
  const here = new URL(href, location.href);
  here.hash = location.hash;
  history.replaceState(history.state, "", here);
  const stem = location.pathname.replace(/\/$/, "");
  for (const link of document.querySelectorAll("main a[href]")) {
    const target = new URL(link.href);
    const isOwn = target.pathname === location.pathname || target.pathname.startsWith(`${stem}.`);
    if (!isOwn || target.origin !== location.origin || link.closest("[aria-label=Network]")) continue;
    for (const name of ["lm", "step"]) target.searchParams.set(name, here.searchParams.get(name));
    link.href = target.href;
  }
}

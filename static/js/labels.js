// The label panel: keys, what is typed kept over accidents, members marked at their contexts.

const form = document.querySelector("[data-label-form]");
const typing = (element) => element?.closest?.("input:not([type=checkbox], [type=radio]), textarea, select, [contenteditable]");

for (const clock of document.querySelectorAll("[data-clock]")) {
  const at = new Date(clock.dateTime);
  const isToday = at.toDateString() === new Date().toDateString();
  const time = { hour: "2-digit", minute: "2-digit", hour12: false };
  clock.textContent = at.toLocaleString("en-GB", isToday ? time : { day: "numeric", month: "short", ...time });
}

if (form) {
  const key = `label ${location.pathname}${new URLSearchParams(location.search).get("affinity") ?? ""}`;
  const fields = () => [...form.elements].filter((one) => one.name && !["version", "action", "csrfmiddlewaretoken"].includes(one.name));
  const typed = () => JSON.stringify(fields().map((one) => [one.name, one.value, one.checked ?? null]));
  const first = typed();
  let isLeaving = false;
  const isDirty = () => "unsaved" in form.dataset || typed() !== first;

  // ── what is typed stays in this tab until it is saved or given up ──
  function keep() {
    const misfits = form.querySelector("[data-n-misfits]");
    const n = fields().filter((one) => one.name === "misfit" && one.checked).length;
    if (misfits) misfits.textContent = n ? `${n} marked.` : "None.";
    if (isDirty()) sessionStorage.setItem(key, JSON.stringify({ version: form.dataset.version, ...values() }));
    else sessionStorage.removeItem(key);
    form.querySelector("[data-saved]").textContent = isDirty() ? "not saved" : saved;
  }

  function values() {
    const text = (name) => form.elements[name].value;
    const chosen = (name) => fields().filter((one) => one.name === name && one.checked).map((one) => one.value);
    return { name: text("name"), description: text("description"), confidence: text("confidence"),
      kind: chosen("kind"), tag: chosen("tag"), misfit: chosen("misfit") };
  }

  function restore() {
    let kept = null;
    try { kept = JSON.parse(sessionStorage.getItem(key)); } catch { /* not ours */ }
    if (!kept || kept.version !== form.dataset.version || "unsaved" in form.dataset) { sessionStorage.removeItem(key); return; }
    for (const name of ["name", "description", "confidence"]) form.elements[name].value = kept[name];
    for (const one of fields()) {
      if (["kind", "tag"].includes(one.name)) one.checked = kept[one.name].includes(one.value);
      else if (one.name === "misfit" && one.type === "checkbox" && kept.misfit.includes(one.value)) one.checked = true;
    }
    if (isDirty()) form.querySelector("[data-restored]").hidden = false;
    keep();
  }

  const saved = form.querySelector("[data-saved]").textContent;
  restore();
  document.addEventListener("input", (event) => { if (event.target.form === form) keep(); });
  document.addEventListener("change", (event) => { if (event.target.form === form) keep(); });
  form.addEventListener("submit", () => { isLeaving = true; });
  form.querySelector("[data-cancel]").addEventListener("click", (event) => {
    event.preventDefault();
    giveUp();
  });
  addEventListener("beforeunload", (event) => { if (isDirty() && !isLeaving) event.preventDefault(); });
  addEventListener("pageshow", (event) => { if (event.persisted) isLeaving = false; });

  function giveUp() {
    isLeaving = true;
    sessionStorage.removeItem(key);
    location.hash = "label";
    location.reload();
  }

  // ── a kind that was chosen can be taken back ──
  let before = null;
  const kind = (event) => event.target.closest?.("label")?.querySelector?.("[name=kind]");
  form.addEventListener("pointerdown", (event) => { before = kind(event)?.checked ? kind(event) : null; });
  form.addEventListener("click", (event) => {
    if (event.target !== before) return;
    before.checked = false;
    before = null;
    keep();
  });

  // ── keys ──
  document.addEventListener("keydown", (event) => {
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      form.requestSubmit(form.querySelector("[value=next]"));
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || typing(event.target)) return;
    if (event.key === "Escape" && isDirty()) { event.preventDefault(); giveUp(); return; }
    const tag = /^[1-9]$/.test(event.key) && form.querySelector(`[data-tag-key="${event.key}"]`);
    if (!tag) return;
    event.preventDefault();
    tag.checked = !tag.checked;
    keep();
  });
}

// Taking a suggestion waits while one's own label has words that are not saved.

document.addEventListener("submit", (event) => {
  const panel = event.target.closest?.("[data-suggestions]");
  if (!panel || event.submitter?.value !== "accept") return;
  const saved = document.querySelector("[data-label-form] [data-saved]");
  const held = panel.querySelector("[data-held]");
  held.hidden = saved?.textContent.trim() !== "not saved";
  if (!held.hidden) event.preventDefault();
});

// A file that is too large is named at once, not after minutes of sending: <input type="file" data-most="100000000">

document.addEventListener("change", (event) => {
  const input = event.target;
  if (!input.matches?.("input[type=file][data-most]")) return;
  const place = document.getElementById(`${input.id}_size`);
  const most = Number(input.dataset.most);
  const isTooLarge = [...input.files].some((file) => file.size > most);
  place.hidden = !isTooLarge;
  input.setAttribute("aria-invalid", String(isTooLarge));
  for (const button of input.form.querySelectorAll("button[type=submit]")) button.disabled = isTooLarge;
});

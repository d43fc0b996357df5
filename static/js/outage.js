// A part of a page that could not be fetched, because the database or the server is away, is said so above the page
// until the next one comes.

const SECONDS = 5;

function place() {
  const found = document.getElementById("outage");
  if (found) return found;
  const made = document.createElement("p");
  made.id = "outage";
  made.className = "message warning";
  made.setAttribute("role", "status");
  document.getElementById("main")?.prepend(made);
  return made;
}

function tell(event) {
  const answered = event.detail.xhr;
  if (answered?.status && ![502, 503, 504].includes(answered.status)) return;
  const wait = answered?.getResponseHeader("Retry-After") ?? SECONDS;
  const said = answered?.status ? "The site cannot answer at the moment" : "The site cannot be reached";
  place().textContent = `${said}; what you see may be old. Try again in ${wait} seconds.`;
}

document.addEventListener("htmx:responseError", tell);
document.addEventListener("htmx:sendError", tell);
document.addEventListener("htmx:afterOnLoad", (event) => {
  if (event.detail.xhr.status < 400) document.getElementById("outage")?.remove();
});

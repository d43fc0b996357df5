// How much of the address a pasted curve takes, said while it is typed; what is sent is written as short as it can be.

const form = document.getElementById("curve");

if (form) start();

function start() {
  const text = form.elements.namedItem("text"), said = form.querySelector("[data-size]");
  const longest = Number(form.dataset.longest);
  const tell = () => {
    const n = query().length;
    said.hidden = n < longest / 2;
    said.textContent = `${(n / 1000).toFixed(1)} of ${longest / 1000} kB${n > longest ? ": too long for an address" : ""}`;
  };
  text.addEventListener("input", tell);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    location.assign(`${form.action}?${query()}`);
  });
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  tell();
}

// Commas and line ends take three and six letters of an address each; a space takes one.
function query() {
  const typed = [...new FormData(form)].filter(([, value]) => value.trim());
  return new URLSearchParams(typed.map(([name, value]) => [name, name === "text" ? short(value) : value])).toString();
}

function short(text) {
  const lines = text.replace(/\r\n?/g, "\n").trimEnd().split("\n");
  return lines.map((line) => (/^\s*[-+.\deE−]+\s*[,;\t]\s*[-+.\deE−]+\s*$/u.test(line) ? line.trim().replace(/\s*[,;\t]\s*/u, " ") : line)).join("\n");
}

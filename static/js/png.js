// Chart → PNG: copies the shown SVG, writes its computed colours into it, and draws it on a canvas.

const PROPERTIES = [
  "fill", "stroke", "stroke-width", "stroke-dasharray", "stroke-linejoin", "stroke-linecap", "opacity",
  "font-family", "font-size", "font-style", "font-weight", "text-anchor", "paint-order", "shape-rendering",
];
const SCALE = 2;
const MARGIN = 16;

document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-png]");
  if (button) save(button);
});

// The name of the figure's SVG, which the server gives; without an answer, the figure's own.
export async function nameOf(button) {
  const svg = button.closest(".dl")?.querySelector('a[href*=".svg?"]');
  try {
    const response = await fetch(svg.href, { method: "HEAD" });
    return /filename="(.+)\.svg"/.exec(response.headers.get("Content-Disposition"))[1];
  } catch {
    return button.dataset.png;
  }
}

function save(button) {
  const figure = button.closest(".fig");
  const source = [...figure.querySelectorAll("svg.chart")].find((svg) => svg.getBoundingClientRect().width > 0);
  const { width, height } = source.viewBox.baseVal;
  const image = new Image();
  image.addEventListener("load", () => {
    const canvas = document.createElement("canvas");
    canvas.width = (width + 2 * MARGIN) * SCALE;
    canvas.height = (height + 2 * MARGIN) * SCALE;
    const context = canvas.getContext("2d");
    context.fillStyle = getComputedStyle(document.documentElement).backgroundColor;
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(image, MARGIN * SCALE, MARGIN * SCALE, width * SCALE, height * SCALE);
    canvas.toBlob(async (blob) => download(blob, `${await nameOf(button)}.png`), "image/png");
  });
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(withColours(source, width, height))}`;
}

function withColours(source, width, height) {
  const copy = source.cloneNode(true);
  const originals = [source, ...source.querySelectorAll("*")];
  [copy, ...copy.querySelectorAll("*")].forEach((element, index) => {
    const computed = getComputedStyle(originals[index]);
    for (const name of PROPERTIES) element.setAttribute(name, computed.getPropertyValue(name));
  });
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("width", width * SCALE);
  copy.setAttribute("height", height * SCALE);
  copy.setAttribute("overflow", "visible");
  return new XMLSerializer().serializeToString(copy);
}

function download(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

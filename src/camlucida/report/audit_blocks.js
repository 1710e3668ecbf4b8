// Blocks of data in the page: gzip in base64, decoded on first use.

function base64Bytes(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text), bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

function blockBytes(name) {
  const element = document.getElementById("block-" + name);
  const bytes = base64Bytes(element.textContent);
  element.remove(); // the text is not needed twice
  return bytes;
}

async function inflated(name) {
  const stream = new Blob([blockBytes(name)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).arrayBuffer();
}

async function readAudit() {
  const [text, numbers] = await Promise.all([inflated("table"), inflated("numbers")]);
  const audit = JSON.parse(new TextDecoder().decode(text));
  audit.columns = new Map();
  audit.numbers.forEach((name, i) => audit.columns.set(name, new Float32Array(numbers, i * audit.n * 4, audit.n)));
  audit.sizes = Uint8Array.from(audit.sizes);
  audit.points = audit.points.length ? Float32Array.from(audit.points, v => v === null ? NaN : v) : null;
  return audit;
}

const OUTCOMES = { 1: "correct", 0: "wrong", "-1": "unlabelled" };

function className(audit, code) { return code < 0 ? "–" : audit.classes[code]; }

function percent(value) { return Number.isFinite(value) ? (100 * value).toFixed(value > 0.995 && value < 1 ? 1 : 0) + " %" : "–"; }

function formatted(value) {
  if (!Number.isFinite(value)) return "–";
  if (Number.isInteger(value)) return value.toLocaleString("en");
  return Math.abs(value) < 0.001 ? value.toExponential(1) : String(+value.toPrecision(3));
}

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

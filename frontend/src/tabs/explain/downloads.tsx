// The menu Share: files of the current view, a link, and the lines that reproduce the map.

import { postForFile } from "../../api/http";
import { decodeImage, imageUrl } from "../../api/images";
import type { ExplainResponse } from "../../api/types";
import { copyText, pngOf, saveFile } from "../../shared/files";
import { overlayCanvas } from "../../shared/map_canvas";
import { app, questionOf, say, sayError } from "../../state/app";
import { mapStyle, view, writeAddress } from "../../state/view";
import { fieldOf, optionsOfView, requestOfView } from "./requests";

const fetched = (name: string) => (): Promise<Blob> => postForFile(`/api/explain/${name}`, requestOfView());

/** The same, drawn as the view is displayed. */
const drawn = (name: string) => (): Promise<Blob> => {
  say("Rendering …");
  const { opacity, colormap, blend, contour } = mapStyle.peek();
  const style = { opacity, blend, colormap: colormap || null, contour: contour || null };
  return postForFile(`/api/explain/${name}`, { ...requestOfView(), ...style }).finally(() => say(""));
};

/** At the size of the image, or of as much of it as the server displays. */
async function overlay(answer: ExplainResponse): Promise<Blob> {
  const image = await decodeImage(imageUrl(answer.image));
  return pngOf(overlayCanvas(image, fieldOf(answer), mapStyle.peek(), image.naturalWidth, image.naturalHeight));
}

const AS_TEXT = "The panel with text as text, and images with 300 dpi";
const FILES: readonly [text: string, ending: string, title: string, content: (answer: ExplainResponse) => Promise<Blob>][] = [
  ["HTML", "html", "One file with the image, the map and controls; it opens without a server or a network", drawn("figure.html")],
  ["Overlay", "overlay.png", "The overlay as a PNG, at the size of the image", overlay],
  ["Panel", "panel.png", "Image, map, overlay and the five most probable classes in one PNG", drawn("panel.png")],
  ["SVG", "svg", AS_TEXT, drawn("figure.svg")],
  ["PDF", "pdf", AS_TEXT, drawn("figure.pdf")],
  ["NPZ", "map.npz", "The arrays of the map: raw, map, heatmap", fetched("map.npz")],
  ["JSON", "record.json", "The record without pixels, as JSON", fetched("record.json")],
];

export function Downloads({ answer }: { answer: ExplainResponse }) {
  const save = async (ending: string, content: Promise<Blob>): Promise<void> => saveFile(await content, fileName(answer, ending));
  return (
    <section class="share" aria-label="Share">
      <h3>Share</h3>
      <div class="row downloads">
        {FILES.map(([text, ending, title, content]) => (
          <button key={text} title={title} onClick={() => void save(ending, content(answer)).catch(sayError)}>{text}</button>
        ))}
        <button title="A URL that restores this view" onClick={() => void copyLink()}>Copy link</button>
      </div>
      <details class="reproduce">
        <summary>Reproduce this map</summary>
        {Object.entries({ Python: pythonLine(answer), "Command line": commandLine(answer) }).map(([name, text]) => (
          <div key={name}>
            <div class="row">
              <span class="label">{name}</span>
              <button
                aria-label={`Copy: ${name}`}
                onClick={() => void copy(text, `${name}: copied to the clipboard.`, "select the line and copy it")}
              >
                Copy
              </button>
            </div>
            <pre tabIndex={0}>{text}</pre>
          </div>
        ))}
      </details>
    </section>
  );
}

async function copy(text: string, done: string, instead: string): Promise<void> {
  if (await copyText(text)) say(done);
  else say(`The browser blocks the clipboard; ${instead}.`, "error");
}

async function copyLink(): Promise<void> {
  writeAddress();
  const kept = view.image.peek().startsWith("u") ? " Uploaded images are kept only until the server stops." : "";
  await copy(location.href, `The link was copied to the clipboard.${kept}`, "copy the URL from the address bar");
}

/** The name of the image, how it was explained, and the kind of file: in letters that every file system has. */
function fileName(answer: ExplainResponse, ending: string): string {
  const { method, layer, target } = answer.maps[0]!;
  const stem = answer.name.replace(/\.\w{1,5}$/, "");
  const parts = [stem, method, layer, target].map((part) => part.replace(/[^\p{L}\p{N}.]+/gu, "_").replace(/^_+|_+$/g, ""));
  return `${parts.filter(Boolean).join("-").slice(0, 140)}.${ending}`;
}

type Value = string | number | boolean;

/** The arguments that are not the default: those of every method, and its options. */
function argumentsOf({ maps: [map] }: ExplainResponse): { own: [string, Value][]; options: [string, Value][] } {
  const { method, layer, spec, target } = map!;
  const score = view.score.value === "logit" ? "" : view.score.value;
  const scored = score && `${score.replace("_", " ")} of `; // part of the text
  const own = {
    method,
    layer: layer !== "input" && view.layer.value && layer,
    target: spec || (view.target.value && (target.startsWith(scored) ? target.slice(scored.length) : target)),
    score,
  };
  const given = Object.entries(own).filter((entry): entry is [string, string] => Boolean(entry[1]));
  return { own: given, options: Object.entries(optionsOfView()) as [string, Value][] };
}

function pythonLine(answer: ExplainResponse): string {
  const pythonValue = (value: Value): string =>
    typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value);
  const { own, options } = argumentsOf(answer);
  const name = pythonValue(answer.maps[0]!.model);
  const { question } = questionOf();
  const model = question ? `cl.load(${name}).with_question(${pythonValue(question)})` : name;
  const given = [...own, ...options].map(([argument, value]) => `${argument}=${pythonValue(value)}`);
  return `import camlucida as cl\n\ncl.explain(${[model, pythonValue(answer.name), ...given].join(", ")}).save("map.png")`;
}

function commandLine(answer: ExplainResponse): string {
  const quoted = (text: string): string => (/^[\w.:/@+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
  const { own, options } = argumentsOf(answer);
  const { model } = answer.maps[0]!;
  const isOnly = model === app.start.models[0]?.name && app.start.models.length === 1;
  const { question } = questionOf();
  return [
    `camlucida explain ${quoted(answer.name)}`,
    ...(isOnly ? [] : [`--model ${quoted(model)}`]),
    ...(question ? [`--question ${quoted(question)}`] : []),
    ...own.map(([name, value]) => `--${name} ${quoted(String(value))}`),
    ...options.map(([name, value]) => `--option ${quoted(`${name}=${value}`)}`),
  ].join(" ");
}

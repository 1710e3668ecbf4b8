// The menu Share: files of the current view, a link, and the lines that reproduce the map.

import { postForFile } from "../../api/http";
import { decodeImage, imageUrl } from "../../api/images";
import type { ExplainResponse } from "../../api/types";
import { copyText, pngOf, saveFile } from "../../shared/files";
import { overlayCanvas } from "../../shared/map_canvas";
import { app, questionOf, say, sayError } from "../../state/app";
import { mapStyle, view, writeAddress } from "../../state/view";
import { fieldOf } from "./field_of";
import { optionsOfView, requestOfView } from "./request";

export function Downloads({ answer }: { answer: ExplainResponse }) {
  const save = async (name: string, content: () => Promise<Blob>): Promise<void> => {
    try {
      saveFile(await content(), fileName(answer, name));
    } catch (error) {
      sayError(error);
    }
  };
  const fetched = (name: string) => () => postForFile(`/api/explain/${name}`, requestOfView());
  return (
    <section class="share" aria-label="Share">
      <h3>Share</h3>
      <div class="row downloads">
        <button
          title="One file with the image, the map and controls; it opens without a server or a network"
          onClick={() => void save("html", drawnFile("figure.html"))}
        >
          HTML
        </button>
        <button title="The overlay as a PNG, at the size of the image" onClick={() => void save("overlay.png", () => overlayFile(answer))}>
          Overlay
        </button>
        <button
          title="Image, map, overlay and the five most probable classes in one PNG"
          onClick={() => void save("panel.png", drawnFile("panel.png"))}
        >
          Panel
        </button>
        <button title="The panel with text as text, and images with 300 dpi" onClick={() => void save("svg", drawnFile("figure.svg"))}>
          SVG
        </button>
        <button title="The panel with text as text, and images with 300 dpi" onClick={() => void save("pdf", drawnFile("figure.pdf"))}>
          PDF
        </button>
        <button title="The arrays of the map: raw, map, heatmap" onClick={() => void save("map.npz", fetched("map.npz"))}>
          NPZ
        </button>
        <button title="The record without pixels, as JSON" onClick={() => void save("record.json", fetched("record.json"))}>
          JSON
        </button>
        <button title="A URL that restores this view" onClick={() => void copyLink()}>
          Copy link
        </button>
      </div>
      <Reproduce answer={answer} />
    </section>
  );
}

/** At the size of the image, or of as much of it as the server displays. */
async function overlayFile(answer: ExplainResponse): Promise<Blob> {
  const image = await decodeImage(imageUrl(answer.image));
  return pngOf(overlayCanvas(image, fieldOf(answer), mapStyle.peek(), image.naturalWidth, image.naturalHeight));
}

/** A file that the server draws as the view is displayed. */
const drawnFile = (name: string) => async (): Promise<Blob> => {
  say("Rendering …");
  const { opacity, colormap, blend, contour } = mapStyle.peek();
  const style = { opacity, blend, colormap: colormap || null, contour: contour || null };
  return postForFile(`/api/explain/${name}`, { ...requestOfView(), ...style }).finally(() => say(""));
};

async function copyLink(): Promise<void> {
  writeAddress();
  const kept = view.image.peek().startsWith("u") ? " Uploaded images are kept only until the server stops." : "";
  if (await copyText(location.href)) say(`The link was copied to the clipboard.${kept}`);
  else say("The browser blocks the clipboard; copy the URL from the address bar.", "error");
}

/** The name of the image, how it was explained, and the kind of file: in letters that every file system has. */
export function fileName(answer: ExplainResponse, kind: string): string {
  const { method, layer, target } = answer.maps[0]!;
  const stem = answer.name.replace(/\.\w{1,5}$/, "");
  const parts = [stem, method, layer, target].map((part) => part.replace(/[^\p{L}\p{N}.]+/gu, "_").replace(/^_+|_+$/g, ""));
  return `${parts.filter(Boolean).join("-").slice(0, 140)}.${kind}`;
}

function Reproduce({ answer }: { answer: ExplainResponse }) {
  const lines = [
    ["Python", pythonLine(answer)],
    ["Command line", commandLine(answer)],
  ] as const;
  const copy = async (name: string, text: string): Promise<void> => {
    if (await copyText(text)) say(`${name}: copied to the clipboard.`);
    else say("The browser blocks the clipboard; select the line and copy it.", "error");
  };
  return (
    <details class="reproduce">
      <summary>Reproduce this map</summary>
      {lines.map(([name, text]) => (
        <div key={name}>
          <div class="row">
            <span class="label">{name}</span>
            <button onClick={() => void copy(name, text)} aria-label={`Copy: ${name}`}>
              Copy
            </button>
          </div>
          <pre tabIndex={0}>{text}</pre>
        </div>
      ))}
    </details>
  );
}

/** The arguments that are not the default, as [name, value]. */
function argumentsOf(answer: ExplainResponse): [string, string | number | boolean][] {
  const map = answer.maps[0]!;
  const scored = view.score.value === "logit" ? "" : `${view.score.value.replace("_", " ")} of `; // part of the text
  const target = map.spec || (view.target.value ? map.target.slice(map.target.startsWith(scored) ? scored.length : 0) : "");
  const made: [string, string | number | boolean][] = [["method", map.method]];
  if (map.layer !== "input" && view.layer.value) made.push(["layer", map.layer]);
  if (target) made.push(["target", target]);
  if (view.score.value !== "logit") made.push(["score", view.score.value]);
  return [...made, ...(Object.entries(optionsOfView()) as typeof made)];
}

function pythonLine(answer: ExplainResponse): string {
  const name = pythonValue(answer.maps[0]!.model);
  const { question } = questionOf();
  const model = question ? `cl.load(${name}).with_question(${pythonValue(question)})` : name;
  const options = argumentsOf(answer).map(([name, value]) => `${name}=${pythonValue(value)}`);
  return `import camlucida as cl\n\ncl.explain(${[model, pythonValue(answer.name), ...options].join(", ")}).save("map.png")`;
}

const pythonValue = (value: string | number | boolean): string =>
  typeof value === "boolean" ? (value ? "True" : "False") : JSON.stringify(value);

function commandLine(answer: ExplainResponse): string {
  const own = new Set(["method", "layer", "target", "score"]);
  const options = argumentsOf(answer).map(([name, value]) =>
    own.has(name) ? `--${name} ${quoted(String(value))}` : `--option ${quoted(`${name}=${value}`)}`,
  );
  const model = answer.maps[0]!.model;
  const chosen = model === app.start.models[0]?.name && app.start.models.length === 1 ? "" : ` --model ${quoted(model)}`;
  const { question } = questionOf();
  const asked = question ? ` --question ${quoted(question)}` : "";
  return `camlucida explain ${quoted(answer.name)}${chosen}${asked} ${options.join(" ")}`;
}

const quoted = (text: string): string => (/^[\w.:/@+-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

// Read what the server offers, then render.

import "./styles/base.css";
import "./styles/parts.css";
import "./styles/explain.css";
import { effect } from "@preact/signals";
import { render } from "preact";
import { get, online } from "./api/http";
import type { Start } from "./api/types";
import { followTabs, Header, Message, Panels, prefetchTabs } from "./app";
import { startSamples } from "./shared/sample_store";
import { message, say, setStart } from "./state/app";
import { followAddress } from "./state/view";

/** Milliseconds after which the first view is there, usually. */
const PREFETCH_MS = 1500;

/** The response of /api/start, which the server writes into the page; null in a page of the development server. */
function startInPage(): Start | null {
  const element = document.getElementById("start");
  element?.remove(); // a participant of a study may look at the page, which is not to name the methods
  return element && (JSON.parse(element.textContent!) as Start);
}

async function begin(): Promise<void> {
  const main = document.getElementById("main")!;
  try {
    const start = startInPage() ?? (await get<Start>("/api/start"));
    setStart(start);
    followAddress(start);
  } catch (error) {
    const failure = <p class="failure" role="alert">{(error as Error).message}</p>;
    return render(failure, main);
  }
  followTabs();
  startSamples(); // its request is on its way while the page is rendered
  render(<Header />, document.getElementById("bar")!);
  render(<Message />, document.getElementById("said")!);
  render(<Panels />, main);
  let wasOnline = true;
  effect(() => {
    if (online.value && !wasOnline && message.peek()?.kind === "error") say(""); // it responds again
    wasOnline = online.value;
  });
  document.documentElement.dataset.ready = "yes";
  setTimeout(prefetchTabs, PREFETCH_MS);
}

void begin();

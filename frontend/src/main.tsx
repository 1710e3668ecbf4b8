// Fetch what the server offers, then render.

import "./styles/base.css";
import "./styles/parts.css";
import "./styles/explain.css";
import "./styles/compare.css";
import "./styles/trust.css";
import "./styles/activations.css";
import "./styles/dataset.css";
import "./styles/study.css";
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

async function begin(): Promise<void> {
  const main = document.getElementById("main")!;
  try {
    const start = await get<Start>("/api/start");
    setStart(start);
    followAddress(start);
  } catch (error) {
    const failure = <p class="failure" role="alert">{(error as Error).message}</p>;
    return render(failure, main);
  }
  followTabs();
  render(<Header />, document.getElementById("top")!);
  render(<Message />, document.getElementById("said")!);
  render(<Panels />, main);
  startSamples();
  let wasOnline = true;
  effect(() => {
    if (online.value && !wasOnline && message.peek()?.kind === "error") say(""); // it responds again
    wasOnline = online.value;
  });
  document.documentElement.dataset.ready = "yes";
  setTimeout(prefetchTabs, PREFETCH_MS);
}

void begin();

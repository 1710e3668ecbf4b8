// Study: which of two maps do people believe, not knowing whose they are?

import { get } from "../api/http";
import { fill, h } from "../dom";
import type { Mounted, Page, Tab } from "../page";
import { Trouble } from "../parts/trouble";
import { Asking } from "./study/asking";
import { Beginning } from "./study/beginning";
import { Making } from "./study/making";
import { Results } from "./study/results";
import type { StudyState } from "./study/wire";

export const study: Tab = { name: "study", title: "Study", mount };

function mount(root: HTMLElement, page: Page): Mounted {
  const making = new Making(page, () => void load(true));
  const beginning = new Beginning((person) => void begin(person));
  const asking = new Asking(page, root, () => void load(true));
  const results = new Results();
  let answering = false;

  /** Ask what there is, and show it: a form to make a study, or the way into it and its results. */
  async function load(focus = false): Promise<void> {
    answering = false;
    let state: StudyState;
    try {
      state = await get<StudyState>("/api/study");
    } catch (error) {
      const trouble = new Trouble();
      fill(root, trouble.element);
      trouble.tell(error, h("button", { onclick: () => void load(true) }, "Try again"));
      root.dataset.drawn = "failed";
      return;
    }
    if (answering) return;
    if (state.study) {
      beginning.draw(state.study);
      results.draw(state.study);
      fill(root, h("div", { class: "entry" }, beginning.element, results.element));
      root.dataset.drawn = "entry";
      if (focus) beginning.focus();
    } else if (state.can_be_created) {
      fill(root, making.element);
      making.draw();
      root.dataset.drawn = "making";
    } else {
      fill(root, h("p", { class: "note" }, "There is no study. Start the app with --study FOLDER."));
      root.dataset.drawn = "none";
    }
  }

  async function begin(person: string): Promise<void> {
    if (answering) return;
    answering = true;
    results.hide();
    if (!(await asking.begin(person))) return load();
    fill(root, asking.element);
    asking.focus();
  }

  return {
    show() {
      asking.behind(false);
      if (!answering && !making.busy) void load();
    },
    hide: () => asking.behind(true),
  };
}

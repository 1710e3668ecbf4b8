// The questions of a study with their images; a few are kept ready.

import { get } from "../../api/http";
import { decodeImage } from "../../api/images";
import { isTiny } from "../../shared/photo";
import type { StudyQuestion, StudyTrial } from "./schemas";

/** A question with its images, decoded: they are displayed at once. */
export interface Loaded {
  trial: StudyTrial;
  original: HTMLImageElement;
  maps: HTMLImageElement[];
}

/** Questions that are kept around the displayed one. */
const KEPT = 3;

export class Questions {
  private readonly loaded = new Map<number, Promise<Loaded>>();

  constructor(private readonly person: string) {}

  /** What the server asks: the first open question, or the one at a position. */
  async ask(position?: number): Promise<StudyQuestion> {
    const where = new URLSearchParams({ person: this.person, ...(position === undefined ? {} : { position: String(position) }) });
    const next = await get<StudyQuestion>(`/api/study/next?${where}`);
    if (position === undefined && next.trial) this.loaded.set(next.trial.position, withImages(next.trial));
    return next;
  }

  /** The question at a position, once all its images are there. */
  load(position: number): Promise<Loaded> {
    const known = this.loaded.get(position);
    if (known) return known;
    const loading = this.ask(position).then(({ trial }) => {
      if (!trial) throw new Error("The study has changed. Reload the page.");
      return withImages(trial);
    });
    loading.catch(() => this.loaded.delete(position));
    this.loaded.set(position, loading);
    return loading;
  }

  /** Forget what is far from a position; not the first open one. */
  keepNear(position: number, open: number): void {
    for (const kept of [...this.loaded.keys()])
      if (Math.abs(kept - position) > KEPT && kept !== open) this.loaded.delete(kept);
  }

  forget(position: number): void {
    this.loaded.delete(position);
  }
}

async function withImages(trial: StudyTrial): Promise<Loaded> {
  const [original, ...maps] = await Promise.all([trial.original, ...trial.maps].map(loadShown));
  return { trial, original: original!, maps };
}

async function loadShown(id: string): Promise<HTMLImageElement> {
  const image = await decodeImage(`/api/study/images/${id}`).catch(() => {
    throw new Error("An image of the study cannot be displayed (any more). Is its folder complete?");
  });
  if (isTiny(image)) image.className = "tiny";
  return image;
}

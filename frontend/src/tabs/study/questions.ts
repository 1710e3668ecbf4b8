// The questions of a study as the server asks them, with their pictures; a few are kept ready.

import { get } from "../../api/http";
import { decodeImage } from "../../api/images";
import { isTiny } from "../../shared/photo";
import type { StudyQuestion, StudyTrial } from "./wire";

/** A question with its pictures, decodeImage: they are shown in one go. */
export interface Loaded {
  trial: StudyTrial;
  original: HTMLImageElement;
  maps: HTMLImageElement[];
}

/** Questions that are kept ready round the one on the screen. */
const KEPT = 3;

export class Questions {
  private readonly loaded = new Map<number, Promise<Loaded>>();

  constructor(private readonly person: string) {}

  /** What the server asks: the first open question, or the one at a place. */
  async ask(place?: number): Promise<StudyQuestion> {
    const where = new URLSearchParams({ person: this.person, ...(place === undefined ? {} : { position: String(place) }) });
    const next = await get<StudyQuestion>(`/api/study/next?${where}`);
    if (place === undefined && next.trial) this.loaded.set(next.trial.position, withPictures(next.trial));
    return next;
  }

  /** The question at a place, once all its pictures are there. */
  load(place: number): Promise<Loaded> {
    const known = this.loaded.get(place);
    if (known) return known;
    const loading = this.ask(place).then(({ trial }) => {
      if (!trial) throw new Error("The study has changed. Reload the page.");
      return withPictures(trial);
    });
    loading.catch(() => this.loaded.delete(place));
    this.loaded.set(place, loading);
    return loading;
  }

  /** Forget what is far from a place; not the first open one. */
  keepNear(place: number, open: number): void {
    for (const kept of [...this.loaded.keys()])
      if (Math.abs(kept - place) > KEPT && kept !== open) this.loaded.delete(kept);
  }

  forget(place: number): void {
    this.loaded.delete(place);
  }
}

async function withPictures(trial: StudyTrial): Promise<Loaded> {
  const [original, ...maps] = await Promise.all([trial.original, ...trial.maps].map(shown));
  return { trial, original: original!, maps };
}

async function shown(id: string): Promise<HTMLImageElement> {
  const image = await decodeImage(`/api/study/images/${id}`).catch(() => {
    throw new Error("An image of the study cannot be displayed (any more). Is its folder complete?");
  });
  if (isTiny(image)) image.className = "tiny";
  return image;
}

// All layers of one question, asked for at once while nobody waits: then the scrubber needs no request.

import { post } from "../../api/ask";
import type { Answer, Question } from "../../api/types";
import { Turns } from "../../turns";

const KEPT = 12;

export class Stages {
  private readonly kept = new Map<string, Map<string, Answer>>();
  private readonly turns = new Turns();

  /** The answer for the layer that is asked for, if it came with others. */
  of(question: Question, layer: string): Answer | undefined {
    return this.kept.get(key(question))?.get(layer);
  }

  /** Whether all layers of the question are here. */
  has(question: Question): boolean {
    return this.kept.has(key(question));
  }

  /** Ask for all of them. What was being fetched for another question is given up. */
  async fetch(question: Question, layers: readonly string[]): Promise<boolean> {
    const signal = this.turns.begin();
    try {
      const answer = await post<Answer>("/api/explain", { ...question, layers: layers.slice(0, 64) }, signal);
      if (answer.maps.length !== Math.min(layers.length, 64)) return false; // two names of one layer
      const single = answer.maps.map((map): Answer => ({ ...answer, maps: [map] }));
      this.kept.set(key(question), new Map(single.map((one, i) => [layers[i]!, one])));
      if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value as string);
      return true;
    } catch {
      return false; // each layer can still be asked for by itself, and says then what is wrong
    } finally {
      this.turns.done(signal);
    }
  }

  stop(): void {
    this.turns.end();
  }
}

const key = (question: Question): string => JSON.stringify({ ...question, layers: [] });

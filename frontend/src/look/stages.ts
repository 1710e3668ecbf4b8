// All layers of one question, asked for at once while nobody waits: then the scrubber needs no request.

import { type Answer, post, type Question } from "../api";
import { Field } from "../maps";

const KEPT = 12;

export class Stages {
  private readonly kept = new Map<string, Map<string, Answer>>();
  private running: AbortController | null = null;

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
    this.stop();
    const running = (this.running = new AbortController());
    try {
      const answer = await post<Answer>("/api/explain", { ...question, layers: layers.slice(0, 64) }, running.signal);
      if (answer.maps.length !== Math.min(layers.length, 64)) return false; // two names of one layer
      const single = answer.maps.map((map): Answer => ({ ...answer, maps: [map] }));
      this.kept.set(key(question), new Map(single.map((one, i) => [layers[i]!, one])));
      if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value as string);
      return true;
    } catch {
      return false; // each layer can still be asked for by itself, and says then what is wrong
    } finally {
      if (this.running === running) this.running = null;
    }
  }

  stop(): void {
    this.running?.abort();
    this.running = null;
  }
}

const key = (question: Question): string => JSON.stringify({ ...question, layers: [] });

const fields = new WeakMap<object, Field>();

/** The answer's map, ready to be painted; made once. */
export function fieldOf(answer: Answer): Field {
  const map = answer.maps[0]!;
  const known = fields.get(map);
  if (known) return known;
  const made = Field.of(map, answer.place);
  fields.set(map, made);
  return made;
}

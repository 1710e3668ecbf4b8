// Maps, kept: what was explained once is not asked for again.

import { post } from "./ask";
import { type Hears, stream } from "./stream";
import type { Answer, Question } from "./types";

const answers = new Map<string, Promise<Answer>>();
const KEPT = 200;

/** Explain; what was asked before is not asked again. Only hear progress or stop what nobody else may want. */
export function explain(question: Question, hears?: Hears, signal?: AbortSignal): Promise<Answer> {
  const key = JSON.stringify(question);
  const known = answers.get(key);
  if (known) return known;
  const asked = hears
    ? stream<Answer>("/api/explain", question, hears, signal)
    : post<Answer>("/api/explain", question, signal);
  answers.set(key, asked);
  asked.catch(() => answers.delete(key));
  if (answers.size > KEPT) answers.delete(answers.keys().next().value as string);
  return asked;
}

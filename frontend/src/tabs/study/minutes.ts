// How long a study takes.

/** Seconds that most people need for one question. */
const EACH = 6;

/** For so many questions, in words. */
export function minutes(questions: number): string {
  const found = Math.max(1, Math.round((questions * EACH) / 60));
  return found === 1 ? "about a minute" : `about ${found} minutes`;
}

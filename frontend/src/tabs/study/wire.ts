// What the server says about a study.

import type { components } from "../../schema";

type Schemas = components["schemas"];
export type StudyState = Schemas["StudyState"];
export type StudyInfo = Schemas["StudyInfo"];
export type StudyQuestion = Schemas["StudyQuestion"];
export type StudyTrial = Schemas["StudyTrial"];
export type StudyProgress = Schemas["StudyProgress"];
export type StudyResults = Schemas["StudyResults"];
export type StudyStanding = Schemas["StudyStanding"];
export type StudyMetrics = Schemas["StudyMetrics"];
export type StudyNumber = Schemas["StudyNumber"];

/** Seconds that most people need for one question. */
const EACH = 6;

/** How long so many questions take, in words. */
export function minutes(questions: number): string {
  const found = Math.max(1, Math.round((questions * EACH) / 60));
  return found === 1 ? "about a minute" : `about ${found} minutes`;
}

/** "1 pair", "3 pairs". */
export const counted = (count: number, one: string, many = `${one}s`): string =>
  `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

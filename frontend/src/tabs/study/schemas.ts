// The schemas of this tab's routes.

import type { Schemas } from "../../api/types";

export type StudyState = Schemas["StudyState"];
export type StudyInfo = Schemas["StudyInfo"];
export type StudyQuestion = Schemas["StudyQuestion"];
export type StudyTrial = Schemas["StudyTrial"];
export type StudyProgress = Schemas["StudyProgress"];
export type StudyResults = Schemas["StudyResults"];
export type StudyStanding = Schemas["MethodRankingOut"];
export type StudyMetrics = Schemas["StudyMetrics"];
export type StudyNumber = Schemas["Range"];

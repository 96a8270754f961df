/** What a recipe says of a grading model: its endpoint, what it judges and by which rubric, and how it answers. */

import { z } from "zod";
import { endpointShape, refineEndpoint } from "../../endpoint/options.ts";

const DEFAULT_RUBRIC =
  "Judge how helpful the answer is: whether it does what was asked, is correct, and is clear and to the point.";

/** The options of the reward `judge`. */
export const judgeOptions = z
  .strictObject({
    ...endpointShape,
    rubric: z.string().min(1).default(DEFAULT_RUBRIC).describe("what to judge; {COLUMN} is the row's column"),
    part: z
      .enum(["summary", "completion"])
      .default("summary")
      .describe("what is judged: the text after </think>, or the whole completion"),
    verdict: z
      .enum(["marker", "json"])
      .default("marker")
      .describe("how the judge answers: a last line SCORE: n, or one JSON object"),
    minScore: z.number().default(0).describe("the judge's worst, which scores 0"),
    maxScore: z.number().default(10).describe("the judge's best, which scores 1"),
    temperature: z.number().min(0).default(0).describe("the judge's sampling temperature"),
    maxCompletionTokens: z.int().min(1).default(1024).describe("longest answer of the judge"),
  })
  .superRefine(({ minScore, maxScore }, context) => {
    if (minScore < maxScore) return;
    context.addIssue({ code: "custom", path: ["minScore"], message: "must be below maxScore" });
  })
  .superRefine(refineEndpoint);

export type JudgeOptions = z.output<typeof judgeOptions>;

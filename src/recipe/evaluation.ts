/** The recipe's key `evaluation`: how the policy answers held-out problems, in and around every stage. */

import { z } from "zod";
import type { EvaluationOptions } from "../eval/evaluate.ts";
import type { EvaluationRecord } from "../run/records.ts";

const GREEDY = ["never", "stages", "always"] as const;

/** Defaults are those of an evaluation that shows the policy as it is trained: one sample at temperature 1. */
export const evaluationSchema = z
  .strictObject({
    problems: z.int().min(1).default(256).describe("held-out problems"),
    samples: z
      .int()
      .min(1)
      .default(1)
      .describe("completions sampled for each problem; with several also pass@k and the majority vote"),
    temperature: z.number().positive().default(1).describe("softmax temperature of those samples"),
    topP: z.number().positive().max(1).default(1).describe("nucleus sampling; 1 is off"),
    topK: z.int().min(0).default(0).describe("sampling from the k most probable tokens; 0 is off"),
    passAt: z
      .array(z.int().min(1))
      .min(1)
      .optional()
      .describe("the k of pass@k, each at most samples; 2, 4, 8, … if absent"),
    greedy: z
      .enum(GREEDY)
      .default("stages")
      .describe("answers of the most probable tokens as well: at the ends of stages, in every evaluation, or never"),
    maxCompletionTokens: z.int().min(1).default(512).describe("longest completion in evaluations"),
  })
  .superRefine(({ samples, passAt }, refinement) => {
    const beyond = passAt?.findIndex((k) => k > samples) ?? -1;
    if (beyond < 0) return;
    refinement.addIssue({
      code: "custom",
      path: ["passAt", beyond],
      message: `pass@${passAt![beyond]} needs as many samples of a problem; samples is ${samples}`,
      input: passAt,
    });
  });

/** How held-out problems are answered. */
export type EvaluationConfig = z.infer<typeof evaluationSchema>;

type Decoding = EvaluationRecord["decoding"];

/** The ways of decoding of an evaluation at this moment of a stage, in order. */
export function decodingsAt({ greedy }: Pick<EvaluationConfig, "greedy">, moment: EvaluationRecord["moment"]) {
  const isGreedyToo = greedy === "always" || (greedy === "stages" && moment !== "during");
  return isGreedyToo ? (["sampled", "greedy"] as const) : (["sampled"] as const);
}

/** The options of `evaluate` beside seed and progress. Greedy decoding gives one completion, always the same. */
export function decodingOptions(
  config: EvaluationConfig,
  decoding: Decoding,
): Omit<EvaluationOptions, "seed" | "onProgress"> {
  const { samples, temperature, topP, topK, passAt, maxCompletionTokens } = config;
  if (decoding === "greedy") return { temperature: 0, samples: 1, maxCompletionTokens };
  return { temperature, topP, topK, samples, passAt, maxCompletionTokens };
}

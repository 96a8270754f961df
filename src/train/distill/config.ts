/** The recipe keys of on-policy distillation. */

import { z } from "zod";
import { type ConfigIssue, optimizerIssues, optimizerShape, refineWith } from "../optimizer-config.ts";

/** Who scores the student's tokens. */
export const teacherSchema = z
  .strictObject({
    path: z.string().min(1).optional().describe("a model directory, relative to the recipe; computed in this process"),
    url: z
      .string()
      .min(1)
      .optional()
      .describe("an OpenAI-compatible endpoint with echo and logprobs, e.g. http://127.0.0.1:8000/v1 of vLLM"),
    model: z.string().min(1).optional().describe("the model's name at the endpoint"),
    apiKeyEnv: z
      .string()
      .min(1)
      .optional()
      .describe("the environment variable with the endpoint's key; none if absent"),
  })
  .superRefine(({ path, url, model, apiKeyEnv }, context) => {
    if ((path === undefined) === (url === undefined)) {
      context.addIssue("expected exactly one of path (a model on disk) and url (an endpoint)");
    } else if (url !== undefined && model === undefined) {
      context.addIssue({ code: "custom", path: ["model"], message: "an endpoint needs the name of its model" });
    } else if (path !== undefined && (model !== undefined || apiKeyEnv !== undefined)) {
      context.addIssue("model and apiKeyEnv are of an endpoint; leave them out beside path");
    }
  });

export type TeacherSpec = z.infer<typeof teacherSchema>;

/** Keys and defaults, for recipes that add keys of their own. */
export const distillShape = {
  iterations: z.int().min(1).describe("sample-then-update cycles"),
  teacher: teacherSchema.describe("the model to learn from; it has the student's tokenizer"),
  promptsPerIteration: z.int().min(1).describe("problems per iteration"),
  groupSize: z.int().min(1).default(1).describe("completions per problem; they are not compared with each other"),
  minibatchesPerIteration: z
    .int()
    .min(1)
    .default(1)
    .describe("optimizer steps per iteration; divides promptsPerIteration"),
  temperature: z.number().positive().default(1).describe("softmax temperature of student and teacher"),
  maxCompletionTokens: z.int().min(1).describe("longest completion; the sampler cuts there"),
  ...optimizerShape,
};

/** Impossible combinations, for `superRefine`. */
export function distillIssues(config: DistillConfig): ConfigIssue[] {
  const { promptsPerIteration, minibatchesPerIteration, temperature, teacher } = config;
  const issues = optimizerIssues(config, distillTotalSteps(config));
  if (promptsPerIteration % minibatchesPerIteration !== 0) {
    const message = `minibatchesPerIteration (${minibatchesPerIteration}) does not divide promptsPerIteration (${promptsPerIteration})`;
    issues.push({ path: ["minibatchesPerIteration"], message });
  }
  if (teacher.url !== undefined && temperature !== 1) {
    const message = "an endpoint gives log-probabilities at temperature 1, so the student's must be 1 too";
    issues.push({ path: ["temperature"], message });
  }
  return issues;
}

/** Optimizer steps of the whole stage. */
export function distillTotalSteps(config: Pick<DistillConfig, "iterations" | "minibatchesPerIteration">): number {
  return config.iterations * config.minibatchesPerIteration;
}

/** The strict schema: unknown keys and impossible combinations are refused. */
export const distillConfigSchema = z.strictObject(distillShape).superRefine(refineWith(distillIssues));

export type DistillConfig = z.infer<z.ZodObject<typeof distillShape>>;

/** The recipe keys of on-policy distillation. */

import { z } from "zod";
import { devices } from "../../compute/devices.ts";
import { connectionShape } from "../../endpoint/options.ts";
import type { EngineSpec } from "../../engine/engine-kind.ts";
import { engineSchema, engines } from "../../engine/open.ts";
import { cachedBy } from "../../registry.ts";
import { type ConfigIssue, refineWith } from "../config-issue.ts";
import { optimizerIssues, optimizerShape } from "../optimizer-config.ts";

/** Keys of an engine that do nothing for a teacher, who scores and nothing else. */
const NOT_FOR_TEACHERS: Readonly<Record<string, string>> = {
  threads: "threads are the recipe's: engine.threads",
  maxSlots: "a teacher does not sample",
  cacheMib: "a teacher does not sample",
  gradientCheckpointing: "a teacher is not trained",
};

/** What a teacher's engine cannot have. */
function teacherEngineIssues(engine: EngineSpec): ConfigIssue[] {
  const issues = Object.entries(NOT_FOR_TEACHERS).flatMap(([key, message]) =>
    engine[key] === undefined || engine[key] === false ? [] : [{ path: [key], message }],
  );
  const { device } = engine;
  if (typeof device === "string" && devices.find(device)?.resolve !== undefined) {
    issues.push({ path: ["device"], message: `name a device: ${device} may be another one when the run is resumed` });
  }
  return issues;
}

/** Who scores the student's tokens. */
export const teacherSchema = cachedBy([engines], () =>
  z
    .strictObject({
      path: z
        .string()
        .min(1)
        .optional()
        .describe(
          "a model directory, relative to the recipe; of one that is elsewhere (engine) its tokenizer and config.json",
        ),
      engine: engineSchema()
        .superRefine(refineWith(teacherEngineIssues))
        .optional()
        .describe("what computes a model of path, as in a recipe; in this process, as the policy is, if absent"),
      endpoint: z
        .strictObject({
          ...connectionShape,
          timeoutMs: connectionShape.timeoutMs.unwrap().default(120_000).describe("time limit of one try"),
        })
        .optional()
        .describe(
          "a model behind an OpenAI-compatible endpoint with echo and logprobs, as vLLM and aha serve have them",
        ),
    })
    .refine(
      ({ path, endpoint }) => (path === undefined) !== (endpoint === undefined),
      "expected exactly one of path (a model on disk) and endpoint",
    )
    .refine(({ path, engine }) => engine === undefined || path !== undefined, {
      path: ["engine"],
      error: "engine computes a model of path; an endpoint is asked by itself",
    }),
);

export type TeacherSpec = z.infer<ReturnType<typeof teacherSchema>>;

/** Keys and defaults, for recipes that add keys of their own. */
export const distillShape = cachedBy([engines], () => ({
  iterations: z.int().min(1).describe("sample-then-update cycles"),
  teacher: teacherSchema().describe("the model to learn from; it has the student's tokenizer"),
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
}));

/** Impossible combinations, for `superRefine`. */
export function distillIssues(config: DistillConfig): ConfigIssue[] {
  const { promptsPerIteration, minibatchesPerIteration, temperature, teacher } = config;
  const issues = optimizerIssues(config, distillTotalSteps(config));
  if (promptsPerIteration % minibatchesPerIteration !== 0) {
    const message = `minibatchesPerIteration (${minibatchesPerIteration}) does not divide promptsPerIteration (${promptsPerIteration})`;
    issues.push({ path: ["minibatchesPerIteration"], message });
  }
  if (teacher.endpoint !== undefined && temperature !== 1) {
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
export const distillConfigSchema = cachedBy([engines], () =>
  z.strictObject(distillShape()).superRefine(refineWith(distillIssues)),
);

export type DistillConfig = z.infer<z.ZodObject<ReturnType<typeof distillShape>>>;

/** On-policy distillation, as a trainer. */

import type { Scorer } from "../../engine/contract/sampler.ts";
import { readsWeights } from "../../engine/open.ts";
import { ConfigError } from "../../errors.ts";
import { pathAt } from "../../named-paths.ts";
import { count } from "../../number-text.ts";
import type { StageParts } from "../context.ts";
import { defineTrainer } from "../trainer.ts";
import { type DistillConfig, distillIssues, distillShape, distillTotalSteps } from "./config.ts";
import { checkDistill, trainDistill } from "./distill.ts";
import { distillStarter } from "./starter.ts";
import { openTeacher } from "./teacher.ts";

export const distillTrainer = defineTrainer({
  name: "distill",
  trains: "policy",
  unit: "iteration",
  isOnPolicy: true,
  lossIsNoMeasure: true,
  shape: distillShape,
  issues: distillIssues,
  paths: (config) => pathAt(config, ["teacher", "path"], "model"),
  // A teacher behind an endpoint takes no memory here, and says nothing of itself before it is asked to score.
  supportingModels: ({ teacher: { path, engine } }) => {
    const about = { id: "teacher", kind: "model", key: "teacher.path", remedy: "train the teacher first" } as const;
    const isElsewhere = engine !== undefined && !readsWeights(engine);
    return path === undefined ? [] : [{ ...about, path, ...(isElsewhere && { engine }) }];
  },
  check: (parts, config) => withTeacher(parts, config, async (teacher) => checkDistill(parts, config, teacher)),
  train: (context, config) => withTeacher(context, config, (teacher) => trainDistill(context, config, teacher)),
  words: {
    title: "on-policy distillation: towards a teacher on its own answers",
    explain: ({ iterations, promptsPerIteration }) =>
      `Learning from a teacher: in each of ${count(iterations)} iterations the model writes answers to ` +
      `${promptsPerIteration} problems, and a better model says of every token how probable it is. reverse_kl is ` +
      "how far they are apart; it should fall.",
  },
  curves: [
    {
      title: "Distance to the teacher",
      caption: "Reverse KL divergence per token of the student's own answers, in nats: what this stage makes small.",
      metrics: { reverse_kl: "reverse KL" },
    },
  ],
  starter: distillStarter,
  examination: {
    // On the student's own samples it is reinforcement learning.
    learningRate: ({ learningRate }) => ({ peak: learningRate, method: "reinforcement" }),
    units: ({ iterations }) => iterations,
    maxCompletionTokens: ({ maxCompletionTokens }) => maxCompletionTokens,
    overData: ({ iterations, promptsPerIteration }, trainCount) =>
      Number.isFinite(trainCount) ? { epochs: (iterations * promptsPerIteration) / trainCount } : {},
    memory: ({ promptsPerIteration, groupSize, maxCompletionTokens }, { promptTokens }) => {
      const [sequences, length] = [promptsPerIteration * groupSize, promptTokens + maxCompletionTokens];
      return { trained: { tokens: sequences * length, longest: length }, sampled: { sequences, length } };
    },
    whyNoTrial: "distillation is not probed, it would need its teacher",
    figures: (config) => {
      const { iterations, promptsPerIteration, groupSize, minibatchesPerIteration, maxCompletionTokens } = config;
      const completions = promptsPerIteration * groupSize;
      return {
        ...{ iterations, promptsPerIteration, maxCompletionTokens },
        optimizerSteps: distillTotalSteps(config),
        stepsPerIteration: minibatchesPerIteration,
        completionsPerIteration: completions,
        promptsPerStep: promptsPerIteration / minibatchesPerIteration,
        completionsPerStep: completions / minibatchesPerIteration,
      };
    },
  },
});

/** Does `work` with the teacher of a stage. */
async function withTeacher<T>(
  { tokenizer, supportingCompute }: Pick<StageParts, "tokenizer" | "supportingCompute">,
  { teacher: spec }: DistillConfig,
  work: (teacher: Scorer) => Promise<T>,
): Promise<T> {
  if (supportingCompute === undefined)
    throw new ConfigError("teacher: the stage was given nothing to compute it with (supportingCompute).");
  const teacher = await openTeacher(spec, tokenizer, supportingCompute);
  try {
    return await work(teacher);
  } finally {
    await teacher.dispose();
  }
}

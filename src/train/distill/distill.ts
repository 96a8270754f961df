/**
 * On-policy distillation: the student writes, the teacher says token by token how probable it finds that, and the student
 * moves towards it (GKD, arXiv:2306.13649, with λ = 1 and the reverse KL divergence; MiniLLM, arXiv:2306.08543; Thinking
 * Machines, "On-Policy Distillation", 2025).
 *
 *     for each iteration:
 *       sample completions of each problem from the student
 *       score the same tokens under the teacher
 *       advantage of token t: log π_teacher(t) − log π_student(t)
 *       for each minibatch: one step on −mean ratio · advantage
 *
 * The advantage is the negative of the reverse KL divergence at one token, estimated by the token that was drawn, with
 * a discount of 0: each token is judged by itself, not by the tokens that follow it. Its expected gradient is that of
 * Σ_t KL(π_student(·|prefix_t) ‖ π_teacher(·|prefix_t)) over the student's own prefixes, because E[∇log π] = 0. The sum
 * over the whole vocabulary would have less variance, and needs the teacher's logits, which no endpoint gives and the
 * engine's contract does not carry.
 *
 * Off-policy distillation needs no trainer of its own: the teacher's samples are a data set, and SFT imitates them.
 */

import { requireCapability, requireLossCapability } from "../../engine/contract/capabilities.ts";
import type { Datum } from "../../engine/contract/policy.ts";
import type { Scorer } from "../../engine/contract/sampler.ts";
import { ConfigError } from "../../errors.ts";
import type { PolicyLossSpec } from "../../losses/loss-spec.ts";
import {
  judgeCompletions,
  type Rollout,
  requirePromptsFit,
  sampleCompletions,
  trainProblems,
} from "../../rollout/collect.ts";
import { type Metrics, rolloutMetrics } from "../../rollout/metrics.ts";
import { mean } from "../../statistics.ts";
import { stopTokens } from "../../tokenizer/stop-tokens.ts";
import type { StageParts, TrainContext, TrainOutcome, UpdatedTokens } from "../context.ts";
import { requireOptimizer } from "../optimizer-config.ts";
import { rolloutRow } from "../rollout-row.ts";
import { StageLoop } from "../stage-loop.ts";
import { type DistillConfig, distillTotalSteps } from "./config.ts";

/** Larger than any ratio of a step on the student's own tokens, so nothing is clipped. */
const NO_CLIP = 1e9;

/** The name of the teacher's score among the rewards of a rollout. */
const TEACHER = "teacher";

/**
 * Trains for `config.iterations` iterations, or on from `context.resumed`.
 *
 * @throws ConfigError where a prompt and its longest completion do not fit into the context of student or teacher.
 * @throws RunInterrupted, DivergenceError
 */
export async function trainDistill(
  context: TrainContext,
  config: DistillConfig,
  teacher: Scorer,
): Promise<TrainOutcome> {
  const { engine, tokenizer, task, log, seed } = context;
  const { iterations, promptsPerIteration, groupSize, temperature, maxCompletionTokens } = config;
  checkDistill(context, config, teacher);
  const loop = new StageLoop(context, config, { iterations, steps: distillTotalSteps(config) });
  const { state } = loop;

  return loop.run(async (iteration) => {
    // Sample from the student.
    const problems = [...trainProblems(task, iteration * promptsPerIteration, promptsPerIteration)];
    const sampling = { temperature, topP: 1, topK: 0, maxCompletionTokens, seed, iteration };
    const completions = await loop.timed("sampling", () =>
      sampleCompletions(engine, tokenizer, problems, groupSize, sampling, loop.sampling),
    );
    await loop.stopIfAsked();
    loop.begins("judging");

    // The teacher scores the same tokens.
    const [rollouts, teacherLogprobs] = await loop.timed("teacher", async () => {
      const judged = await judgeCompletions(completions, task, []);
      const data = judged.map(({ promptTokens, tokens }) => ({ promptTokens, completionTokens: tokens }));
      return [judged, (await teacher.score(data, { temperature })).logprobs] as const;
    });

    // One step per minibatch.
    const updates: Metrics[] = [];
    const tokens: UpdatedTokens[] = [];
    const size = rollouts.length / config.minibatchesPerIteration;
    for (let start = 0; start < rollouts.length; start += size) {
      const rows = rollouts.slice(start, start + size);
      const data = distillData(rows, teacherLogprobs.slice(start, start + size));
      const { loss, gradNorm, logprobs, entropies } = await loop.step((adam) =>
        engine.step(data, importanceSampling(temperature), adam),
      );
      for (const [i, { advantages, samplerLogprobs }] of data.entries()) {
        tokens.push({
          tokenAdvantages: advantages,
          ratios: Float64Array.from(logprobs[i]!, (logprob, t) => Math.exp(logprob - samplerLogprobs[t]!)),
          ...(entropies && { entropies: entropies[i]! }),
        });
      }
      updates.push({
        loss,
        ...(gradNorm !== undefined && { grad_norm: gradNorm }),
        learning_rate: loop.learningRate,
        ...(entropies && { entropy: mean(entropies.flatMap((values) => [...values])) }),
      });
    }

    const judged = rollouts.map((rollout, i) => withTeacher(rollout, teacherLogprobs[i]!));
    log.rollouts(judged.map((rollout, i) => rolloutRow(rollout, rollout.reward, iteration, tokens[i])));
    state.numTokens += rollouts.reduce((sum, row) => sum + row.promptTokens.length + row.tokens.length, 0);
    return {
      iteration,
      num_tokens: state.numTokens,
      skipped_steps: loop.takeSkipped(),
      ...meanOfEach(updates),
      ...divergenceMetrics(rollouts, teacherLogprobs),
      ...answerMetrics(judged),
    };
  });
}

/**
 * Refuses, before any training, an engine without the loss, and problems that do not fit into the student or the teacher.
 *
 * @throws ConfigError
 */
export function checkDistill(
  { engine, tokenizer, task, stage }: Omit<StageParts<"policy">, "seed">,
  config: DistillConfig,
  teacher: Scorer,
): void {
  requireLossCapability(engine, "grpo", { stage, key: "trainer" });
  requireOptimizer(engine, config, stage);
  if (config.temperature !== 1) {
    for (const model of [engine, teacher])
      requireCapability(model, "scoringTemperature", { stage, key: "temperature" });
  }
  stopTokens(engine, tokenizer);
  const count = Math.min(config.iterations * config.promptsPerIteration, task.trainCount);
  const problems = trainProblems(task, 0, count);
  const longestPrompt = requirePromptsFit(engine, tokenizer, problems, config.maxCompletionTokens);
  const needed = longestPrompt + config.maxCompletionTokens;
  const { name, maxContextTokens } = teacher.info;
  if (needed <= maxContextTokens) return;
  throw new ConfigError(
    `The teacher ${name} has a context of ${maxContextTokens} tokens, but the longest prompt (` +
      `${longestPrompt} tokens) with maxCompletionTokens ${config.maxCompletionTokens} needs ${needed}. Lower ` +
      "maxCompletionTokens, or take another teacher.",
  );
}

/**
 * What a step learns from: each token with the advantage log π_teacher − log π_student, of equal weight over all tokens of
 * `rows`. With the student's log-probabilities as those of the sampler the ratio is 1 on policy.
 */
export function distillData(
  rows: readonly Pick<Rollout, "promptTokens" | "tokens" | "samplerLogprobs">[],
  teacherLogprobs: readonly Float32Array[],
): (Datum & Required<Pick<Datum, "advantages" | "samplerLogprobs">>)[] {
  const total = rows.reduce((sum, { tokens }) => sum + tokens.length, 0);
  return rows.map(({ promptTokens, tokens, samplerLogprobs }, i) => ({
    promptTokens,
    completionTokens: tokens,
    weights: new Float32Array(tokens.length).fill(1 / total),
    advantages: samplerLogprobs.map((own, t) => teacherLogprobs[i]![t]! - own),
    samplerLogprobs,
  }));
}

/** −ratio · advantage, without a clip. */
export function importanceSampling(temperature: number): PolicyLossSpec {
  return { name: "grpo", temperature, klCoef: 0, clipEpsilon: 1, clipEpsilonHigh: NO_CLIP };
}

/** Means over all tokens of the iteration, nats: `reverse_kl` is what the stage makes small. */
function divergenceMetrics(rollouts: readonly Rollout[], teacherLogprobs: readonly Float32Array[]): Metrics {
  const student = mean(rollouts.flatMap(({ samplerLogprobs }) => [...samplerLogprobs]));
  const teacher = mean(teacherLogprobs.flatMap((values) => [...values]));
  return { reverse_kl: student - teacher, student_logprob: student, teacher_logprob: teacher };
}

/** A completion with the teacher's score: the negative of its mean reverse KL divergence. */
function withTeacher(rollout: Rollout, teacherLogprobs: Float32Array): Rollout & { readonly reward: number } {
  const reward = mean(Array.from(teacherLogprobs, (logprob, t) => logprob - rollout.samplerLogprobs[t]!));
  const reason = `the student finds it ${(-reward).toFixed(4)} nats a token more probable than the teacher`;
  return { ...rollout, rewards: { [TEACHER]: { score: reward, reason } }, reward };
}

/** Metrics of groups of completions, which are not compared here, and of the reward, which is `reverse_kl`. */
const LEFT_OUT = new Set(["frac_reward_zero_std", "frac_reward_abstained", "reward", "reward_std"]);

/** Lengths and verdicts. */
function answerMetrics(rollouts: readonly Rollout[]): Metrics {
  return Object.fromEntries(Object.entries(rolloutMetrics(rollouts, [false])).filter(([name]) => !LEFT_OUT.has(name)));
}

function meanOfEach(updates: readonly Metrics[]): Metrics {
  const names = Object.keys(updates[0] ?? {});
  return Object.fromEntries(names.map((name) => [name, mean(updates.map((update) => update[name]!))]));
}

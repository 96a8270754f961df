/**
 * What the keys of GRPO say by themselves, without the model or a single sample: settings that cancel each other, or that do
 * nothing.
 */

import type { Severity, StageFinding } from "../../findings.ts";
import { losses } from "../../losses/registry.ts";
import { rewardLabel } from "../../rewards/user/reference.ts";
import { lossWeights } from "../../rollout/loss-weights.ts";
import type { AroundStage } from "../examination.ts";
import { type GrpoConfig, grpoTotalSteps } from "./config.ts";
import { mixtureFindings } from "./mixture-findings.ts";

/**
 * β below this: at the divergences that runs reach (up to about 1 nat a token) the KL term is negligible beside the
 * policy term.
 */
const SMALL_KL_COEF = 1e-4;
/** Iterations in which reward hacking has time to develop unnoticed. */
const LONG_ITERATIONS = 100;
/** Below this groups become alike. */
const LOW_TEMPERATURE = 0.3;

/** Whether every completion weighs the same in the loss, however long it is. */
function weighsCompletionsAlike({ lossType, maxCompletionTokens }: GrpoConfig): boolean {
  const [short, long] = lossWeights(lossType, [1, 2], { maxCompletionTokens }) as unknown as [number, number];
  return short === 2 * long;
}

/** Settings that cancel each other, or that do nothing. */
export function grpoFindings(stage: GrpoConfig, around: AroundStage): StageFinding[] {
  const { evaluateEvery, evaluationTokens, contextTokens } = around;
  const found: StageFinding[] = [];
  const add = (severity: Severity, id: string, measured: string, why: string, advice: string) =>
    found.push({ severity, id, measured, why, advice });
  const stepsPerIteration = stage.updatesPerIteration * stage.minibatchesPerIteration;
  const isSingleStep = stepsPerIteration === 1;
  const isSampledAhead = stage.maxStaleness > 0;
  /** At each step the policy is the one that ratios are taken to. */
  const ratioIsOne = isSingleStep && (!isSampledAhead || stage.samplerCorrection !== "none");

  if (stage.rewards.every(({ weight }) => weight === 0)) {
    add(
      "error",
      "reward-weights-zero",
      "every reward has weight 0",
      "all completions get reward 0, so nothing is learned",
      "give one a weight",
    );
  } else {
    for (const { name, weight } of stage.rewards) {
      if (weight === 0)
        add(
          "note",
          "reward-weight-zero",
          `${rewardLabel(name)} has weight 0`,
          "it is logged, and does not count",
          "leave it at 0 to watch it only, or give it a weight",
        );
    }
  }

  if (stage.groupSize === 1) {
    add(
      "warning",
      "group-size",
      "groupSize 1",
      "there is no group to compare with, and no variance within it",
      "set groupSize to 4 or more",
    );
  } else if (stage.groupSize < 4) {
    add(
      "note",
      "group-size",
      `groupSize ${stage.groupSize}`,
      "a baseline of so few completions is noisy, and many groups have no variance",
      "8 is usual",
    );
  }

  if (stage.klCoef > 0) {
    const why = "a KL term with no effect still costs a reference and its forward pass";
    if (stage.klCoef < SMALL_KL_COEF)
      add(
        "warning",
        "kl-without-effect",
        `klCoef ${stage.klCoef}, below ${SMALL_KL_COEF}`,
        why,
        "set klCoef 0, or 1e-3 and more",
      );
    if (stage.refSyncSteps > 0 && stage.refSyncSteps <= stepsPerIteration && stage.refSyncMixup === 1)
      add(
        "warning",
        "kl-without-effect",
        `refSyncSteps ${stage.refSyncSteps} with refSyncMixup 1: the reference becomes the policy in every iteration (${stepsPerIteration} steps)`,
        `the divergence is about 0 always; ${why}`,
        "set klCoef 0, or refSyncSteps to some hundred",
      );
    if (grpoTotalSteps(stage) === 1)
      add(
        "warning",
        "kl-without-effect",
        "a single optimizer step",
        `policy and reference are equal at it, so the gradient of the divergence is 0; ${why}`,
        "set klCoef 0, or train longer",
      );
    if (stage.klPlacement === "loss" && stage.klEstimator === "k1" && !stage.klBiasCorrection)
      add(
        "warning",
        "kl-without-effect",
        "klEstimator k1 in the loss without klBiasCorrection",
        "the gradient of log π − log π_ref has mean 0 on policy: noise, and no pull to the reference",
        "take klEstimator k3, or klBiasCorrection true, or klPlacement reward",
      );
    else if (isSingleStep && stage.klPlacement === "loss")
      add(
        "note",
        "kl-starts-at-zero",
        `klCoef ${stage.klCoef}, one step per batch`,
        "policy and reference are equal at the first step, so the KL term and its gradient are 0 there and grow",
        "nothing",
      );
  }

  if (ratioIsOne) {
    if (!isSampledAhead && (stage.klCoef === 0 || stage.klPlacement === "reward"))
      add(
        "note",
        "loss-zero-by-construction",
        "one optimizer step per batch (μ = 1)",
        weighsCompletionsAlike(stage)
          ? "the ratio is 1 and the advantages of a group sum to 0, so the loss is about 0; its gradient is not"
          : "the ratio is 1 and the advantages of a group sum to 0, so the loss says only whether long completions are " +
              "better than short ones, and is 0 where lengths are equal; its gradient is not",
        "watch reward and solve_rate, not the loss",
      );
    const clips = "clipEpsilon" in losses.get(stage.lossType).options;
    const isSet = stage.clipEpsilonHigh !== undefined || stage.delta !== undefined || stage.clipEpsilon !== 0.2;
    if (clips)
      add(
        isSet ? "warning" : "note",
        "clip-without-effect",
        `clipEpsilon ${stage.clipEpsilon} with one optimizer step per batch`,
        "the ratio is 1, so no clip is ever reached",
        "nothing, or raise updatesPerIteration or minibatchesPerIteration",
      );
  }

  if (isSampledAhead)
    add(
      "note",
      "sampled-ahead",
      `maxStaleness ${stage.maxStaleness}`,
      "completions are of the weights of one iteration before, which ratios correct for; it saves time where sampling, training " +
        "and judges compute in different places (engine.kind tinker, judges behind an endpoint), where the estimate is too long: it " +
        "counts one after the other",
      "watch clip_ratio and sampling/sampling_logp_difference; on one machine without slow judges take 0",
    );
  if (stage.temperature < LOW_TEMPERATURE)
    add(
      "warning",
      "temperature",
      `temperature ${stage.temperature}`,
      "completions of a group are nearly the same, so their rewards are",
      "0.7 to 1 is usual",
    );
  if (stage.entropyCoef < 0)
    add(
      "warning",
      "entropy-coefficient",
      `entropyCoef ${stage.entropyCoef} is negative`,
      "it drives the policy to certainty and groups to equal rewards",
      "make it 0 or positive",
    );
  if (evaluateEvery === 0 && stage.iterations >= LONG_ITERATIONS)
    add(
      "note",
      "no-evaluation",
      `${stage.iterations} iterations without a held-out evaluation between them`,
      "reward hacking would be noticed only at the end",
      `set evaluateEvery to ${Math.ceil(stage.iterations / 10)}`,
    );
  if (evaluationTokens < stage.maxCompletionTokens)
    add(
      "warning",
      "evaluation-shorter",
      `evaluation.maxCompletionTokens ${evaluationTokens}, training ${stage.maxCompletionTokens}`,
      "answers that training allows are cut in evaluation and count as wrong",
      "make the limits equal",
    );
  if (contextTokens !== null && stage.maxCompletionTokens >= contextTokens)
    add(
      "error",
      "context",
      `maxCompletionTokens ${stage.maxCompletionTokens}, context ${contextTokens}`,
      "no room is left for a prompt",
      "lower maxCompletionTokens",
    );
  return [...found, ...mixtureFindings(stage, around.taskNames)];
}

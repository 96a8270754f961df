/** What the sampled completions of a trial say of a GRPO stage. */

import { ALARM_LIMITS } from "../../alarms/thresholds.ts";
import type { Severity, StageFinding } from "../../findings.ts";
import type { GrpoConfig } from "./config.ts";
import type { GrpoTrial } from "./trial.ts";

/** From this share on nearly nothing can be learned. */
const NEARLY_ALL = 0.95;
/** Completions, and groups, that a verdict about all of them needs. */
const ENOUGH_COMPLETIONS = 32;
const ENOUGH_GROUPS = 4;

/**
 * Findings of a trial. `trainedBefore` names a stage that trains the policy before this one: what was sampled now is then
 * not what the stage will begin with, so everything is a note.
 */
export function grpoTrialFindings(
  stage: Pick<GrpoConfig, "maskTruncatedCompletions" | "maxCompletionTokens">,
  trial: GrpoTrial,
  trainedBefore: string | undefined,
): StageFinding[] {
  const found: StageFinding[] = [];
  const add = (severity: Severity, id: string, measured: string, why: string, advice: string) =>
    found.push({
      ...{ severity: trainedBefore === undefined ? severity : "note", id, why },
      measured: trainedBefore === undefined ? measured : `${measured}, before ${trainedBefore} has trained`,
      advice: trainedBefore === undefined ? advice : `look again after ${trainedBefore} (model.path: its model)`,
    });
  const { completions, groups, truncatedShare, zeroVarianceShare, samplerDifference } = trial;
  const percent = (part: number) => `${Math.round(100 * part)} %`;

  if (truncatedShare >= ALARM_LIMITS.truncation.raise) {
    const nothingLeft =
      stage.maskTruncatedCompletions && truncatedShare >= NEARLY_ALL && completions >= ENOUGH_COMPLETIONS;
    add(
      nothingLeft ? "error" : "warning",
      "truncation",
      `${percent(truncatedShare)} of ${completions} completions are cut at maxCompletionTokens ${stage.maxCompletionTokens}`,
      nothingLeft
        ? "maskTruncatedCompletions leaves these out of the loss, so nothing is learned"
        : "a completion that is cut has no answer, so nothing but length is rewarded",
      "raise maxCompletionTokens, or teach the model to end first (SFT)",
    );
  }
  if (trial.abstainedShare === 1) {
    add(
      "error",
      "rewards-abstain",
      `every reward abstained from all ${completions} completions`,
      "nothing is learned",
      "see the reasons with aha reward; correct the reward or its columns",
    );
  } else if (zeroVarianceShare >= ALARM_LIMITS.zeroVariance.raise && groups >= 1) {
    const isAll = zeroVarianceShare === 1 && groups >= ENOUGH_GROUPS && completions >= ENOUGH_COMPLETIONS;
    add(
      isAll ? "error" : "warning",
      "zero-variance",
      `${percent(zeroVarianceShare)} of ${groups} groups have equal rewards` +
        (trial.solveRate === null ? "" : ` (solve rate ${percent(trial.solveRate)})`),
      "a group without variance teaches nothing",
      trial.solveRate !== null && trial.solveRate > 0.5
        ? "take harder problems"
        : "take easier problems, more completions a group, a reward with steps, or SFT first",
    );
  }
  for (const [name, score] of trial.rewards) {
    if (score === null) {
      if (trial.abstainedShare < 1)
        add(
          "warning",
          "reward-abstains",
          `${name} abstained from all ${completions} completions`,
          "it counts neither for nor against",
          "see the reasons with aha reward",
        );
    } else if (!score.varies) {
      // With none of n, the rate is below 3/n at 95 %.
      add(
        "warning",
        "reward-never-fires",
        `${name} gave ${score.mean} to each of ${completions} completions (another score is rarer than ${percent(Math.min(1, 3 / completions))} at 95 %)`,
        "a reward that never differs teaches nothing until it does",
        "look at completions with aha eval; prompt for the form, or begin with SFT",
      );
    }
  }
  if (samplerDifference !== undefined && samplerDifference > ALARM_LIMITS.samplerDifference.raise) {
    add(
      "warning",
      "sampler-difference",
      `sampler and trainer differ by ${samplerDifference.toPrecision(2)} nats a token`,
      "the ratios of the loss are wrong by that much",
      "set samplerCorrection",
    );
  }
  return found;
}

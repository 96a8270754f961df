/**
 * The names of metrics are TRL's (test/golden/make_trl_metrics.py reads them off its source); which of them there are at
 * which settings; and which names are ours.
 */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { losses } from "../../../src/losses/registry.ts";
import { trainGrpo } from "../../../src/train/grpo/grpo.ts";
import { grpoConfigSchema } from "../../../src/train/grpo/issues.ts";
import { letterReward, lettersContext, MemoryLog, newEngine } from "../letters.ts";

const golden: Record<"trainer" | "grpo" | "sft", string[]> = JSON.parse(
  readFileSync(join(import.meta.dirname, "../../golden/trl-metrics.json"), "utf8"),
);

/** What TRL logs and Aha does not, and why. */
const NOT_OURS: Readonly<Record<string, string>> = {
  step_time: "in timings.jsonl: nothing of the clock is in metrics.jsonl",
  epoch: "of GRPO: an iteration samples problems, of a generator without end",
  "tools/call_frequency": "there are no tools",
  "tools/failure_frequency": "there are no tools",
  aux_loss: "there are no mixtures of experts",
};

/** Names beyond TRL's, which every iteration of GRPO has. */
const BEYOND = [
  "step",
  "iteration",
  "skipped_steps",
  "frac_reward_abstained",
  "solve_rate",
  "format_rate",
  "tries/mean",
  "task/digits",
];

const CLIP = ["low_mean", "low_min", "high_mean", "high_max", "region_mean"].map((name) => `clip_ratio/${name}`);

/** Which names depend on the loss. */
const OF_LOSS: Readonly<Record<string, readonly string[]>> = {
  cispo: ["cispo_clip_ratio"],
  vespo: ["vespo/phi_seq_mean"],
  sapo: [],
};

/** All names of a run of two iterations. */
async function namesWith(overrides: object): Promise<Set<string>> {
  const log = new MemoryLog();
  const config = grpoConfigSchema().parse({
    ...{ iterations: 2, rewards: [{ name: "format" }], promptsPerIteration: 6, groupSize: 6 },
    ...{ maxCompletionTokens: 4, learningRate: 0.25, ...overrides },
  });
  await trainGrpo(lettersContext(newEngine(), log), config, [letterReward]);
  return new Set(log.metricsRows.flatMap((row) => Object.keys(row)));
}

const CORRECTION = ["min", "mean", "max"].map((name) => `sampling/importance_sampling_ratio/${name}`);
const CONDITIONAL = new Set([
  ...CLIP,
  ...Object.values(OF_LOSS).flat(),
  ...CORRECTION,
  "kl",
  "policy_loss",
  "entropy_coef",
]);

/** TRL's names that are there whatever is configured, with the reward's name filled in. */
const ALWAYS = [...golden.trainer, ...golden.grpo]
  .filter((name) => !(name in NOT_OURS) && !CONDITIONAL.has(name))
  .map((name) => name.replace("{}", letterReward.reward.name));

describe("the metrics of GRPO", () => {
  it.each(losses.names)("with lossType %s are TRL's, and ours that are listed", async (lossType) => {
    const names = await namesWith({ lossType });
    const ofLoss = OF_LOSS[lossType] ?? CLIP;
    expect([...names].sort()).toEqual([...ALWAYS, ...BEYOND, ...ofLoss].sort());
  });

  it("have those of a reference, an entropy bonus and a corrected sampler where these are on", async () => {
    const names = await namesWith({ klCoef: 0.1, entropyCoef: 0.01, samplerCorrection: "token_truncate" });
    for (const name of ["kl", "policy_loss", "entropy_coef", ...CORRECTION]) expect(names).toContain(name);
  });

  it("leave out nothing of TRL's without saying why", () => {
    const known = new Set([...ALWAYS, ...CONDITIONAL, ...Object.keys(NOT_OURS)]);
    const filled = golden.grpo.map((name) => name.replace("{}", letterReward.reward.name));
    expect(filled.filter((name) => !known.has(name))).toEqual([]);
  });
});

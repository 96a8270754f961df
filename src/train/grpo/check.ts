/** What GRPO refuses before any training. */

import { type CapabilityName, requireCapability, requireLossCapability } from "../../engine/contract/capabilities.ts";
import type { Policy } from "../../engine/contract/policy.ts";
import { tokenLossOf } from "../../losses/policy-objective.ts";
import { requirePromptsFit, trainProblems } from "../../rollout/collect.ts";
import { stopTokens } from "../../tokenizer/stop-tokens.ts";
import type { StageParts } from "../context.ts";
import { requireOptimizer } from "../optimizer-config.ts";
import { type GrpoConfig, objectiveOf } from "./config.ts";

/**
 * Refuses an engine that lacks what a key asks for, and problems that do not fit: every one that the stage may
 * sample for from `state` on (of a data set, each once).
 *
 * @throws ConfigError
 */
export function checkGrpo(
  { engine, tokenizer, task, stage }: Omit<StageParts<"policy">, "seed">,
  config: GrpoConfig,
  state: { readonly iteration: number; readonly nextPrompt: number } = { iteration: 0, nextPrompt: 0 },
): void {
  requireCapabilities(engine, config, stage);
  const { promptsPerIteration, maxSamplingRounds, maxCompletionTokens } = config;
  const most = (config.iterations - state.iteration) * promptsPerIteration * maxSamplingRounds;
  const problems = trainProblems(task, state.nextPrompt, Math.min(most, task.trainCount));
  stopTokens(engine, tokenizer);
  requirePromptsFit(engine, tokenizer, problems, maxCompletionTokens);
}

/** Refuses an engine that lacks what a key asks for. */
function requireCapabilities(engine: Policy, config: GrpoConfig, stage: string | undefined): void {
  const isNoisy = config.neftuneNoiseAlpha > 0;
  const needs: readonly [key: keyof GrpoConfig, isNeeded: boolean, CapabilityName][] = [
    ["temperature", config.temperature !== 1, "scoringTemperature"],
    ["topP", config.topP < 1, "keptTokens"],
    ["topK", config.topK > 0, "keptTokens"],
    ["klCoef", config.klCoef > 0, "reference"],
    ["refSyncMixup", config.refSyncSteps > 0 && config.refSyncMixup < 1, "referenceMixing"],
    ["entropyCoef", config.entropyCoef !== 0, "entropyBonus"],
    ["topEntropyQuantile", config.topEntropyQuantile < 1, "entropies"],
    ["neftuneNoiseAlpha", isNoisy, "embeddingNoise"],
    ["maxStaleness", config.maxStaleness > 0, "snapshots"],
  ];
  for (const [key, isNeeded, capability] of needs) if (isNeeded) requireCapability(engine, capability, { stage, key });
  requireOptimizer(engine, config, stage);
  const loss = tokenLossOf(objectiveOf(config));
  // An objective without a loss of its own is computed by cross-entropy, from a forward pass without noise.
  const isOwn = loss !== undefined && (isNoisy || engine.capabilities.losses.includes(loss.name));
  requireLossCapability(engine, isOwn ? loss.name : "cross_entropy", { stage, key: "lossType" });
}

/** A reward model in this process as the reward `reward_model` asks for it. */

import type { Computing } from "../compute/computing.ts";
import type { EngineSpec } from "../engine/engine-kind.ts";
import { LOCAL_ENGINE, openRewardModel } from "../engine/open.ts";
import { CheckpointError, ConfigError } from "../errors.ts";
import { storedHead } from "../model/hf-config.ts";
import type { RewardDeps } from "../rewards/entry.ts";
import type { OpenScorer, TextScorer } from "../rewards/scorer.ts";
import { scoredTokens } from "../rollout/preference.ts";
import { readTokenizer } from "../tokenizer/huggingface.ts";
import type { StageParts } from "./context.ts";

/** Opens reward models, by the embedded engine unless `engine` says otherwise. */
export function scorerOpener(compute: Computing, engine: EngineSpec = LOCAL_ENGINE): OpenScorer {
  return (path) => openScorer(path, compute, engine);
}

/** What the rewards of a stage are made with. */
export function rewardDepsOf({ supportingCompute }: Pick<StageParts, "supportingCompute">): RewardDeps {
  if (supportingCompute === undefined) return {};
  const { compute, engine, endpoints, openUserReward } = supportingCompute;
  return { openScorer: scorerOpener(compute, engine), endpoints, openUserReward };
}

/**
 * The reward model in `path`.
 *
 * @throws ConfigError for a model that is none; CheckpointError for a damaged one.
 */
async function openScorer(path: string, compute: Computing, spec: EngineSpec): Promise<TextScorer> {
  const folder = compute.folderAt(path);
  if ((await storedHead(folder)) !== "score") {
    throw new ConfigError(
      `reward reward_model: ${path} is a language model and has no score. Expected a reward model (architecture ` +
        "*ForSequenceClassification with one label), as the trainer reward_model makes one.",
    );
  }
  const tokenizer = await readTokenizer(folder);
  const engine = await openRewardModel(spec, { path, padTokenId: tokenizer.padTokenId }, compute);
  const { vocabSize, maxContextTokens } = engine.info;
  if (tokenizer.vocabSize > vocabSize) {
    await engine.dispose();
    throw new CheckpointError(
      `${path}: the tokenizer has ${tokenizer.vocabSize} tokens, the reward model's vocabulary ${vocabSize}. They belong ` +
        "to two models.",
    );
  }
  return {
    score: async (texts) => {
      const sequences = texts.map(({ prompt, completion }) => scoredTokens(tokenizer, prompt, completion));
      const fits = sequences.map(({ length }) => length <= maxContextTokens);
      const rewards = await engine.score(sequences.filter((_, i) => fits[i]));
      let next = 0;
      return sequences.map(({ length }, i) =>
        fits[i]
          ? { reward: rewards[next++]! }
          : { reward: null, reason: `it has ${length} tokens; the reward model's context has ${maxContextTokens}` },
      );
    },
    close: () => engine.dispose(),
  };
}

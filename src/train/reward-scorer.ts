/** A reward model in this process as the reward `reward_model` asks for it. */

import type { Compute } from "../compute/compute.ts";
import type { EngineSpec } from "../engine/engine-kind.ts";
import { LOCAL_ENGINE, openRewardModel } from "../engine/open.ts";
import { CheckpointError, ConfigError } from "../errors.ts";
import { storedHead } from "../model/hf-config.ts";
import type { OpenScorer, Scorer } from "../rewards/scorer.ts";
import { scoredTokens } from "../rollout/preference.ts";
import { loadTokenizer } from "../tokenizer/huggingface.ts";
import type { StageParts } from "./context.ts";

/** Opens reward models, by the embedded engine unless `engine` says otherwise. */
export function scorerOpener(compute: Compute, engine: EngineSpec = LOCAL_ENGINE): OpenScorer {
  return (path) => openScorer(path, compute, engine);
}

/** What rewards of a stage that are models are opened with. */
export function scorersOf({ companions }: Pick<StageParts, "companions">): { readonly openScorer?: OpenScorer } {
  return companions ? { openScorer: scorerOpener(companions.compute, companions.engine) } : {};
}

/**
 * The reward model in `path`.
 *
 * @throws ConfigError for a model that is none; CheckpointError for a damaged one.
 */
async function openScorer(path: string, compute: Compute, spec: EngineSpec): Promise<Scorer> {
  if ((await storedHead(path)) !== "score") {
    throw new ConfigError(
      `reward reward_model: ${path} is a language model and has no score. Expected a reward model (architecture ` +
        "*ForSequenceClassification with one label), as the trainer reward_model makes one.",
    );
  }
  const tokenizer = await loadTokenizer(path);
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

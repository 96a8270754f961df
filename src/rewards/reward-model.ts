/**
 * A reward model as a reward: a checkpoint with a score for a head (`trainer: reward_model`) judges completions.
 * DeepSeek-R1 (arXiv:2501.12948, §2.3.4) rewards in this way what no rule can check. `judged-part.ts` says which part
 * of a completion is judged.
 *
 * This file does not compute: it is given a `TextScorer`, and decides which texts are scored.
 */

import { z } from "zod";
import { ConfigError } from "../errors.ts";
import { defineRewardEntry } from "./entry.ts";
import { abstention } from "./judge.ts";
import { JUDGED_PARTS, judgedPart } from "./judged-part.ts";
import type { BatchReward, RewardResult } from "./reward.ts";
import type { OpenScorer, TextScorer } from "./scorer.ts";

const options = z.strictObject({
  path: z.string().min(1).describe("directory of the reward model, relative to the recipe"),
  part: z
    .enum(JUDGED_PARTS)
    .default("completion")
    .describe("what is judged: all of the completion, or what follows </think>"),
  normalise: z
    .strictObject({
      mean: z.number().default(0).describe("taken from the score"),
      std: z.number().positive().default(1).describe("the score is divided by it"),
    })
    .optional()
    .describe("score − mean, divided by std, e.g. those over the model's own training data"),
});

/** The entry; see the file's header. */
export const rewardModel = defineRewardEntry({
  name: "reward_model",
  title: "a reward model's score",
  citation:
    "Bradley–Terry models as in InstructGPT, arXiv:2203.02155; parts as in DeepSeek-R1, arXiv:2501.12948, §2.3.4",
  summary: "the score of a reward model (path=DIR), for all of it or for what follows </think>",
  columns: [],
  options,
  paths: { path: "rewardModel" },
  create: (given, { openScorer }) => scoredByModel(given, openScorer),
});

/**
 * The reward for these options. A completion without `</think>` has no summary, and a text that does not fit into the
 * model's context no score: the reward abstains from both.
 *
 * `open` throws ConfigError where no `openScorer` was given.
 */
function scoredByModel(
  { path, part, normalise }: z.output<typeof options>,
  openScorer: OpenScorer | undefined,
): BatchReward {
  const { mean, std } = { mean: 0, std: 1, ...normalise };
  let scorer: TextScorer | undefined;
  return {
    name: "reward_model",
    open: async () => {
      if (openScorer === undefined) {
        throw new ConfigError("The reward reward_model needs a scorer to compute with; create it with openScorer.");
      }
      scorer ??= await openScorer(path);
    },
    judgeBatch: async (inputs): Promise<RewardResult[]> => {
      if (scorer === undefined) throw new ConfigError("The reward reward_model was not opened.");
      const texts = inputs.map((input) => judgedPart(input, part));
      const scored = await scorer.score(texts.flatMap((text) => text ?? []));
      let next = 0;
      return texts.map((text): RewardResult => {
        if (text === undefined) return abstention("there is no </think>, so there is no summary to judge");
        const { reward, reason = "it could not be scored" } = scored[next++]!;
        if (reward === null) return abstention(reason);
        const score = (reward - mean) / std;
        return { score, reason: `reward ${reward.toFixed(4)} for the ${part}` };
      });
    },
    close: async () => {
      const closing = scorer;
      scorer = undefined;
      await closing?.close();
    },
  };
}

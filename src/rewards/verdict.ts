/**
 * Whether a completion is right, for rewards whose score depends on it: another reward of the registry is asked first.
 *
 * `auto` takes, for each completion by itself, the first reward of the registry that says right and wrong for the
 * columns of its problem (`saysRightFor`): this is enough for a mixture of tasks.
 */

import { z } from "zod";
import type { RewardContext } from "./entry.ts";
import { judgeAll } from "./judge.ts";
import { type AnyReward, type BatchReward, decorated, type RewardInput, type RewardResult } from "./reward.ts";

/** The recipe's `correct` key of such rewards. */
export const correctOption = z
  .union([
    z.string().min(1),
    z.strictObject({
      name: z.string().min(1).describe("a reward of the registry"),
      options: z.record(z.string(), z.unknown()).default({}).describe("its options"),
    }),
  ])
  .default("auto")
  .describe(
    "the reward that says whether a completion is right (a score above 0.5), e.g. equation, or {name, options}; auto: by the columns",
  );

/** The options by which such a reward asks whether an answer equals that of a column. */
export const correctByAnswer = (column: string) => ({ correct: { name: "accuracy", options: { gold: column } } });

export type CorrectOption = z.output<typeof correctOption>;

/** A score above this is right: train-deepseek-r1's threshold. An accuracy of 0.5 says that the gold was unreadable. */
const RIGHT_ABOVE = 0.5;

/**
 * A reward that asks `correct` about all completions, then scores by `judge`. Where the verdict is missing it abstains with
 * its reason. Opening, closing and memory are those of the reward that is asked.
 *
 * @throws ConfigError for an unknown reward or option.
 */
export function scoredByVerdict(
  name: string,
  correct: CorrectOption,
  context: RewardContext,
  judge: (inputs: readonly RewardInput[], isRight: readonly (boolean | null)[]) => readonly RewardResult[],
): BatchReward {
  const asked = typeof correct === "string" ? { name: correct, options: {} } : correct;
  const inner = asked.name === "auto" ? byColumns(context) : context.create(asked.name, asked.options);
  const judgeBatch = async (inputs: readonly RewardInput[]) => {
    const verdicts = await judgeAll(inner, inputs);
    const isRight = verdicts.map(({ score }) => (score === null ? null : score > RIGHT_ABOVE));
    const results = judge(inputs, isRight);
    return results.map((result, i) => {
      const { score, reason, ...how } = verdicts[i]!;
      if (score === null) return { score: null, reason: `right or wrong is not known: ${reason}`, ...how };
      return { ...result, reason: `${result.reason} (${reason})` };
    });
  };
  return "judge" in inner ? { name, judgeBatch } : decorated(inner, { name, judgeBatch });
}

/** The reward that each completion's columns ask for: the first entry that says right and wrong for them. */
function byColumns({ entries, create }: RewardContext): BatchReward {
  const made = new Map<string, AnyReward>();
  const rewardNamed = async (name: string) => {
    const known = made.get(name);
    if (known !== undefined) return known;
    const reward = create(name);
    made.set(name, reward);
    if ("open" in reward) await reward.open?.();
    return reward;
  };
  const choices = entries.flatMap(({ name, saysRightFor = [] }) => saysRightFor.map((columns) => ({ name, columns })));
  const batches = () => [...made.values()].filter((reward) => "judgeBatch" in reward);
  return {
    name: "auto",
    judgeBatch: async (inputs) => {
      const results: RewardResult[] = inputs.map(({ columns }) => ({
        score: null,
        reason: `no reward fits the columns ${Object.keys(columns).join(", ") || "(none)"}; set correct`,
      }));
      const chosen = inputs.map(
        ({ columns: own }) => choices.find(({ columns }) => columns.every((c) => c in own))?.name,
      );
      for (const name of new Set(chosen)) {
        if (name === undefined) continue;
        const indices = [...inputs.keys()].filter((i) => chosen[i] === name);
        const judged = await judgeAll(
          await rewardNamed(name),
          indices.map((i) => inputs[i]!),
        );
        for (const [k, i] of indices.entries()) results[i] = judged[k]!;
      }
      return results;
    },
    stop: () => {
      for (const reward of batches()) reward.stop?.();
    },
    close: async () => {
      for (const reward of batches()) await reward.close?.();
      made.clear();
    },
  };
}

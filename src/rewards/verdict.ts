/**
 * Whether a completion is right, for rewards whose score depends on it: another reward of the registry is asked first.
 *
 * `auto` takes, for each completion by itself, the first of equation, accuracy and exact_match whose columns its problem
 * has: a mixture of tasks needs no more.
 */

import { z } from "zod";
import type { RewardSource } from "./definition.ts";
import { judgeAll } from "./judge.ts";
import type { AnyReward, BatchReward, RewardInput, RewardResult } from "./reward.ts";

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

export type CorrectOption = z.output<typeof correctOption>;

/** Judges by columns that a problem has, and the reward that reads them. */
const BY_COLUMNS: readonly (readonly [reward: string, columns: readonly string[]])[] = [
  ["equation", ["nums", "target"]],
  ["accuracy", ["answer"]],
  ["accuracy", ["solution"]],
  ["exact_match", ["answer"]],
];

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
  rewards: RewardSource,
  judge: (inputs: readonly RewardInput[], isRight: readonly (boolean | null)[]) => readonly RewardResult[],
): BatchReward {
  const asked = typeof correct === "string" ? { name: correct, options: {} } : correct;
  const inner = asked.name === "auto" ? byColumns(rewards) : rewards.create(asked.name, asked.options);
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
  if ("judge" in inner) return { name, judgeBatch };
  const { open, state, stop, close } = inner;
  return {
    name,
    judgeBatch,
    ...(open && { open: (saved?: string) => open.call(inner, saved) }),
    ...(state && { state: () => state.call(inner) }),
    ...(stop && { stop: () => stop.call(inner) }),
    ...(close && { close: () => close.call(inner) }),
  };
}

/** The reward that each completion's columns ask for. */
function byColumns(rewards: RewardSource): BatchReward {
  const made = new Map<string, AnyReward>();
  const reward = (name: string) => {
    const known = made.get(name) ?? rewards.create(name);
    made.set(name, known);
    return known;
  };
  const choices = BY_COLUMNS.filter(([name]) => rewards.names.includes(name));
  return {
    name: "auto",
    judgeBatch: async (inputs) => {
      const results: RewardResult[] = inputs.map(({ columns }) => ({
        score: null,
        reason: `no reward fits the columns ${Object.keys(columns).join(", ") || "(none)"}; set correct`,
      }));
      const chosen = inputs.map(({ columns }) => choices.find(([, needed]) => needed.every((c) => c in columns))?.[0]);
      for (const name of new Set(chosen)) {
        if (name === undefined) continue;
        const indices = [...inputs.keys()].filter((i) => chosen[i] === name);
        const judged = await judgeAll(
          reward(name),
          indices.map((i) => inputs[i]!),
        );
        for (const [k, i] of indices.entries()) results[i] = judged[k]!;
      }
      return results;
    },
    close: async () => {
      for (const one of made.values()) if ("close" in one) await one.close?.();
    },
  };
}

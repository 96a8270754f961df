/**
 * Held-out evaluation of a reward model: how often it ranks the answer higher that was preferred. Nothing is sampled, so
 * it is the same every time.
 *
 * Pairs without a preference (two equal answers) and pairs that do not fit into the model's context are skipped and
 * counted.
 */

import type { RewardModel } from "../engine/contract/reward-model.ts";
import { ConfigError } from "../errors.ts";
import { type PairStatistics, pairStatistics } from "../losses/bradley-terry.ts";
import { type TokenizedPair, tokenizedPair } from "../rollout/preference.ts";
import type { Problem, Task } from "../tasks/task.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { EvaluatedSoFar, Evaluation } from "./evaluate.ts";
import { wilsonInterval } from "./interval.ts";

/** Pairs that are scored between two reports of progress. */
const PROGRESS_PAIRS = 32;

/** The statistics of an evaluation of pairs; `skippedPairs` counts those that were passed over. */
export const PAIR_STATISTICS: readonly string[] = [
  ...(["accuracy", "margin", "loss", "meanReward", "minReward", "maxReward"] satisfies (keyof PairStatistics)[]),
  "skippedPairs",
];

/**
 * Scores the pairs of `problems`. `statistics` are those of `PAIR_STATISTICS`, `intervals` has that of the accuracy;
 * `completions` has one entry for each pair with both answers and their rewards, solved where the chosen one's is higher.
 *
 * @throws ConfigError where no pair can be scored.
 */
export async function evaluatePairs(
  engine: RewardModel,
  tokenizer: Tokenizer,
  task: Task,
  problems: readonly Problem[],
  onProgress: (progress: EvaluatedSoFar) => void = () => {},
): Promise<Evaluation> {
  const pairs = scorablePairs(engine, tokenizer, task, problems);
  const rewards: number[] = [];
  for (let first = 0; first < pairs.length; first += PROGRESS_PAIRS) {
    onProgress({ finished: first, total: pairs.length });
    const part = pairs.slice(first, first + PROGRESS_PAIRS);
    rewards.push(...(await engine.score(part.flatMap(({ chosen, rejected }) => [chosen, rejected]))));
  }
  const chosen = rewards.filter((_, i) => i % 2 === 0);
  const rejected = rewards.filter((_, i) => i % 2 === 1);
  const statistics = { ...pairStatistics(chosen, rejected), skippedPairs: problems.length - pairs.length };
  return {
    statistics,
    intervals: { accuracy: wilsonInterval(statistics.accuracy, pairs.length) },
    clusters: { accuracy: chosen.map((reward, i) => ({ sum: Number(reward > rejected[i]!), count: 1 })) },
    completions: pairs.map(({ problem, chosen: { length } }, i) => ({
      problemId: problem.id,
      sample: 0,
      prompt: problem.prompt,
      completion: rankedText(task, problem, chosen[i]!, rejected[i]!),
      solved: chosen[i]! > rejected[i]!,
      wellFormed: true,
      finishReason: "stop",
      lengthTokens: length,
    })),
  };
}

/**
 * Those pairs of problems that can be scored.
 *
 * @throws ConfigError where there are none.
 */
export function scorablePairs(
  engine: Pick<RewardModel, "info">,
  tokenizer: Tokenizer,
  task: Task,
  problems: readonly Problem[],
): (TokenizedPair & { readonly problem: Problem })[] {
  const most = engine.info.maxContextTokens;
  const pairs = problems.flatMap((problem) => {
    const pair = tokenizedPair(task, problem, tokenizer);
    if (pair === "equal" || Math.max(pair.chosen.length, pair.rejected.length) > most) return [];
    return [{ ...pair, problem }];
  });
  if (pairs.length > 0) return pairs;
  throw new ConfigError(
    `None of the ${problems.length} held-out pairs of ${task.name} can be scored: they have two equal answers, or a ` +
      `sequence longer than the model's context of ${most} tokens. Hold out more rows.`,
  );
}

/** Both answers of a pair as a person reads them. */
function rankedText(task: Task, problem: Problem, chosen: number, rejected: number): string {
  const pair = task.preference!(problem);
  return `[chosen, reward ${chosen.toFixed(4)}]\n${pair.chosen}\n[rejected, reward ${rejected.toFixed(4)}]\n${pair.rejected}`;
}

/**
 * Filters: the items of `keep`, asked in order about every candidate that is left. The first that fails drops the
 * candidate, with a reason; so the counts in a data set's lineage add up, and a reward that costs money (a judge) is
 * asked only about candidates that passed the rules before it. A judge that gives no verdict abstains, which is
 * counted; one that is down or over its limit ends the step.
 */

import type { Computing } from "../compute/computing.ts";
import type { EngineSpec } from "../engine/engine-kind.ts";
import { computeFor, LOCAL_ENGINE, specBeside } from "../engine/open.ts";
import { ConfigError, EndpointError, nearestName } from "../errors.ts";
import { judgeAll } from "../rewards/judge.ts";
import { createRewards } from "../rewards/on-node.ts";
import { requireRewardColumns } from "../rewards/required-columns.ts";
import type { AnyReward } from "../rewards/reward.ts";
import { rewardLabel } from "../rewards/user/reference.ts";
import type { Task, Verdict } from "../tasks/task.ts";
import { scorerOpener } from "../train/reward-scorer.ts";
import type { Candidate } from "./candidate.ts";
import type { FilterConfig } from "./config.ts";

/** Reasons for which a candidate is dropped before any filter. */
export const BEFORE_FILTERS = {
  /** It lacks something that the refinement needs. */
  refinement: "refinement",
  /** The endpoint gave no good answer. */
  endpoint: "endpoint",
  /** The refining model gave none. */
  refiner: "refining model",
} as const;

const BEFORE: ReadonlySet<string> = new Set(Object.values(BEFORE_FILTERS));

/** A filter, ready to be asked. */
export interface Filter {
  /** Names it in counts, e.g. `reward language_consistency ≥ 0.95`. */
  readonly label: string;
  readonly config: FilterConfig;
  /** Where it is one by a reward; to be opened before it is asked. */
  readonly reward?: AnyReward;
}

/** A bound that every score passes: the filter records the score and drops nothing. */
export const ANY_SCORE = -Number.MAX_VALUE;

/** Ending of the label under which abstentions are counted. */
const ABSTAINED = "abstained";

/** What reward models among filters are computed with: the step's engine, beside one that is elsewhere this process. */
interface FilterComputing {
  readonly compute: Computing;
  readonly engine?: EngineSpec | undefined;
}

/**
 * The filters of a configuration.
 *
 * @throws ConfigError for an unknown reward or option, a reward that reads columns which the task lacks, or a statistic that
 * the task's verdicts do not have.
 */
export function openFilters(
  configs: readonly FilterConfig[],
  task: Task,
  { compute, engine = LOCAL_ENGINE }: FilterComputing,
): Filter[] {
  const beside = specBeside(engine);
  const openScorer = scorerOpener(computeFor(beside, compute), beside);
  return configs.map((config) => {
    if (config.statistic !== undefined) requireStatistic(config.statistic, task);
    if (config.reward === undefined) return { label: labelOf(config), config };
    const { reward: name, options = {}, timeoutMs } = config;
    const spec = { name, options, ...(timeoutMs !== undefined && { timeoutMs }) };
    requireRewardColumns([spec], task);
    return {
      label: labelOf(config),
      config,
      reward: createRewards([spec], { openScorer })[0]!.reward,
    };
  });
}

/**
 * Asks the filters about each candidate and notes in it what they said. Returns an error if a judge could not be asked
 * any more: the judge has not rejected these candidates, so a data set without them would be wrong.
 */
export async function applyFilters(
  candidates: readonly Candidate[],
  filters: readonly Filter[],
  task: Task,
): Promise<EndpointError | undefined> {
  let lost: EndpointError | undefined;
  const verdicts = new Map<Candidate, Verdict>();
  for (const candidate of candidates) {
    if (candidate.dropped !== null && BEFORE.has(candidate.dropped.by)) continue;
    candidate.dropped = null;
    candidate.scores = {};
    const { problemId: id, prompt, columns, completion } = candidate;
    verdicts.set(candidate, task.judge({ id, prompt, columns }, completion));
  }
  for (const filter of filters) {
    const left = candidates.filter(({ dropped }) => dropped === null);
    const reasons = filter.reward
      ? await byReward(left, filter, filter.reward, (reason) => {
          lost ??= lostJudge(filter.label, reason);
        })
      : left.map((candidate) => faultOf(candidate, filter.config, verdicts.get(candidate)!));
    for (const [i, candidate] of left.entries()) {
      const fault = reasons[i];
      if (fault === undefined) continue;
      const abstained = candidate.scores[filter.label] === null;
      candidate.dropped = { by: abstained ? `${filter.label} ${ABSTAINED}` : filter.label, reason: fault };
    }
  }
  return lost;
}

function lostJudge(label: string, reason: string): EndpointError {
  return new EndpointError(
    "unreachable",
    `${label}: ${reason}. What was sampled and judged is kept. When the cause is corrected, run the same command to go on.`,
  );
}

/** Why each candidate is dropped by a reward's score; undefined: it is not. */
async function byReward(
  candidates: readonly Candidate[],
  { label, config }: Filter,
  reward: AnyReward,
  onLost: (reason: string) => void,
): Promise<(string | undefined)[]> {
  const inputs = candidates.map(({ prompt, completion, columns }) => ({ prompt, completion, columns }));
  const results = inputs.length === 0 ? [] : await judgeAll(reward, inputs);
  return candidates.map((candidate, i) => {
    const { score, reason, isLost } = results[i]!;
    if (isLost) onLost(reason);
    candidate.scores[label] = score;
    if (score === null) return config.onAbstention === "keep" ? undefined : reason;
    return isWithin(score, config) ? undefined : `score ${Number(score.toPrecision(4))}: ${reason}`;
  });
}

/** Why a rule drops the candidate; undefined: it does not. */
function faultOf(candidate: Candidate, config: FilterConfig, verdict: Verdict): string | undefined {
  const { verdict: wanted, tokens, statistic, lacks } = config;
  if (wanted === "solved") return verdict.solved ? undefined : "the task does not call it solved";
  if (wanted === "wellFormed") return verdict.wellFormed ? undefined : "it has not the form that the task asks for";
  if (config.finished) return candidate.finished ? undefined : "it was cut off at the length limit";
  if (tokens) return isWithin(candidate.lengthTokens, tokens) ? undefined : `it has ${candidate.lengthTokens} tokens`;
  if (lacks !== undefined)
    return candidate.completion.includes(lacks) ? `it contains ${JSON.stringify(lacks)}` : undefined;
  const value = verdict.statistics[statistic!];
  if (value === undefined) return `its verdict has no ${statistic}`;
  return isWithin(value, config) ? undefined : `${statistic} is ${value}`;
}

function isWithin(
  value: number,
  { min, max }: { readonly min?: number | undefined; readonly max?: number | undefined },
) {
  return value >= (min ?? Number.NEGATIVE_INFINITY) && value <= (max ?? Number.POSITIVE_INFINITY);
}

/** Names a filter in counts and scores. */
export function labelOf(config: FilterConfig): string {
  if (config.verdict !== undefined) return `verdict ${config.verdict}`;
  if (config.finished) return "finished";
  if (config.tokens) return `tokens${bounds(config.tokens)}`;
  if (config.lacks !== undefined) return `lacks ${JSON.stringify(config.lacks)}`;
  if (config.statistic !== undefined) return `statistic ${config.statistic}${bounds(config)}`;
  return `reward ${rewardLabel(config.reward!)}${bounds(config)}`;
}

function bounds({ min, max }: { readonly min?: number | undefined; readonly max?: number | undefined }): string {
  return `${min === undefined || min === ANY_SCORE ? "" : ` ≥ ${min}`}${max === undefined ? "" : ` ≤ ${max}`}`;
}

/** Looks for the statistic in the verdicts on an empty completion and on a demonstration. */
function requireStatistic(name: string, task: Task): void {
  const problem = task.trainProblem(0);
  const completions = ["", ...(task.demonstrate ? [task.demonstrate(problem, 0).completion] : [])];
  const known = completions.flatMap((completion) => Object.keys(task.judge(problem, completion).statistics));
  if (known.includes(name)) return;
  const nearest = nearestName(name, known);
  const hint =
    nearest === undefined ? `they have: ${[...new Set(known)].join(", ") || "none"}` : `is ${nearest} meant?`;
  throw new ConfigError(`keep: verdicts of the task ${task.name} have no statistic ${name}; ${hint}.`);
}

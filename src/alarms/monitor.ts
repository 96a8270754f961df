/**
 * Makes alarms from the rows of metrics and the evaluations of a run, in the order in which they are written.
 *
 * A level must be beyond its limit for some rows in a row before its alarm is raised, and beyond a second, easier limit
 * for as many rows before it is over. In between it is not raised again. The state is a function of the rows and
 * evaluations so far. So a resumed run replays its logs and continues from the same state (`replay`).
 */

import { sumOf } from "../statistics.ts";
import type { Alarm } from "./alarm.ts";
import { abstainingReward, LEVEL_RULES, type LevelRule, rewardRules, type WatchedRow } from "./level-rules.ts";
import { hackingDeviations, type RatedReward } from "./reward-hacking.ts";
import { ALARM_LIMITS } from "./thresholds.ts";

/** What alarms need to know of a stage. */
export interface WatchedStage {
  readonly name: string;
  /** One optimizer step on each batch (μ = 1, one minibatch) and no KL or entropy term: the loss is 0 by construction. */
  readonly lossIsZero: boolean;
}

/** The part of an evaluation that alarms read. */
export interface ReplayedEvaluation {
  readonly stage: string;
  readonly step: number;
  readonly decoding: "sampled" | "greedy";
  readonly solveRate: number | null | undefined;
  readonly problems: number;
}

/** A loss this small needs the explanation. */
const ZERO_LOSS = 0.05;

interface StageState {
  readonly rows: WatchedRow[];
  /** By the rule's name and the reward that it watches. */
  readonly raised: Map<string, boolean>;
  readonly streaks: Map<string, number>;
  /** Rules of rewards that have abstained at least once. */
  readonly rewardRules: Map<string, readonly LevelRule[]>;
  /** Evaluations that no reward has been seen for yet: those before the first rows. */
  waiting: Omit<RatedReward, "reward"> | undefined;
  best: RatedReward | undefined;
}

/** The alarms of one run: give it every row and evaluation, in order. */
export class AlarmMonitor {
  private readonly watched: readonly WatchedStage[];
  private readonly stages = new Map<string, StageState>();
  private explainedLoss = false;
  /** The newest sampled evaluation of any stage: what the next stage begins from. */
  private lastEvaluation: Omit<RatedReward, "reward"> | undefined;

  constructor(watched: readonly WatchedStage[]) {
    this.watched = watched;
  }

  /** Takes a row of metrics; returns the alarms that begin or end with it. */
  row(stage: string, row: WatchedRow): Alarm[] {
    const state = this.stateOf(stage);
    state.rows.push(row);
    for (const metric of Object.keys(row)) {
      const reward = abstainingReward(metric);
      if (reward !== undefined && !state.rewardRules.has(reward)) state.rewardRules.set(reward, rewardRules(reward));
    }
    const rules = [...LEVEL_RULES, ...[...state.rewardRules.values()].flat()];
    const alarms = rules.flatMap((rule) => this.judge(stage, state, rule));
    const { rewardRows } = ALARM_LIMITS.hacking;
    if (state.waiting !== undefined && rewardsOf(state.rows).length === rewardRows) {
      if (state.best === undefined || state.waiting.rate > state.best.rate) {
        state.best = { ...state.waiting, reward: meanOf(rewardsOf(state.rows)) };
      }
      state.waiting = undefined;
    }
    return [...alarms, ...this.lossNote(stage, row, state)];
  }

  /** Takes a held-out evaluation; greedy ones are ignored. */
  evaluation({ stage, step, decoding, solveRate, problems }: ReplayedEvaluation): Alarm[] {
    if (decoding !== "sampled" || typeof solveRate !== "number" || problems === 0) return [];
    const state = this.stateOf(stage);
    const rated = { rate: solveRate, problems };
    this.lastEvaluation = rated;
    const rewards = rewardsOf(state.rows).slice(-ALARM_LIMITS.hacking.rewardRows);
    if (rewards.length === 0) {
      state.waiting = rated;
      return [];
    }
    const newest: RatedReward = { ...rated, reward: meanOf(rewards) };
    const { best } = state;
    const deviations = best && hackingDeviations(best, newest);
    if (best === undefined || newest.rate >= best.rate) state.best = newest;
    const { deviations: threshold } = ALARM_LIMITS.hacking;
    const isBad = deviations !== undefined && deviations > threshold;
    const was = state.raised.get("reward-hacking") === true;
    state.raised.set("reward-hacking", isBad);
    if (isBad === was) return [];
    const value = deviations !== undefined && Number.isFinite(deviations) ? deviations : null;
    const rose = `the reward went from ${best!.reward.toFixed(3)} to ${newest.reward.toFixed(3)}`;
    const rates = `the held-out solve rate from ${best!.rate.toFixed(3)} to ${newest.rate.toFixed(3)}`;
    const message = isBad
      ? `Reward hacking? While ${rose}, ${rates}. Read rollouts.jsonl for what is rewarded without solving the problem, correct the reward, and ` +
        "take an earlier checkpoint."
      : `Over: ${rose}, ${rates}.`;
    return [{ stage, step, alarm: "reward-hacking", state: isBad ? "raised" : "cleared", value, threshold, message }];
  }

  /**
   * Explains a loss of 0, which surprises new users: once in a run, and only if the loss is 0 from the first row; later
   * it may be 0 by chance.
   */
  private lossNote(stage: string, row: WatchedRow, { rows }: StageState): Alarm[] {
    const { loss, step } = row;
    if (rows.find((one) => typeof one.loss === "number") !== row) return [];
    const facts = this.watched.find(({ name }) => name === stage);
    if (this.explainedLoss || !facts?.lossIsZero || typeof loss !== "number" || Math.abs(loss) > ZERO_LOSS) return [];
    this.explainedLoss = true;
    const message =
      "The loss is about 0 by construction: with one optimizer step on each batch (μ = 1) the ratio is 1 and the advantages " +
      "of a group sum to 0. Its gradient is not 0. Watch reward and solve_rate, not the loss.";
    return [
      { stage, step, alarm: "loss-zero-by-construction", state: "note", value: loss, threshold: ZERO_LOSS, message },
    ];
  }

  private judge(stage: string, { rows, raised, streaks }: StageState, rule: LevelRule): Alarm[] {
    const { name, reward, raise, clear, below = false } = rule;
    const key = ruleKey(rule);
    const level = rule.level(rows);
    if (level === undefined) return [];
    const isUp = raised.get(key) === true;
    const sign = below ? -1 : 1;
    const turns = isUp ? sign * level < sign * clear : sign * level >= sign * raise;
    const streak = turns ? (streaks.get(key) ?? 0) + 1 : 0;
    streaks.set(key, streak);
    if (streak < rule.rows) return [];
    streaks.set(key, 0);
    raised.set(key, !isUp);
    const value = Number.isFinite(level) ? level : null;
    const { step } = rows.at(-1)!;
    const about = { stage, step, alarm: name, ...(reward !== undefined && { reward }) };
    const over = reward === undefined ? `Over: ${name}.` : `Over: ${name} (${reward}).`;
    return [
      isUp
        ? { ...about, state: "cleared", value, threshold: clear, message: over }
        : { ...about, state: "raised", value, threshold: raise, message: rule.message(level) },
    ];
  }

  private stateOf(stage: string): StageState {
    let state = this.stages.get(stage);
    if (state === undefined) {
      state = {
        ...{ rows: [], raised: new Map(), streaks: new Map(), rewardRules: new Map() },
        ...{ waiting: this.lastEvaluation, best: undefined },
      };
      this.stages.set(stage, state);
    }
    return state;
  }
}

/** What a log holds of a run: rows and evaluations, each in the order in which it was written. */
export interface ReplayedLogs {
  readonly metrics: readonly { readonly stage: string; readonly row: WatchedRow }[];
  readonly evaluations: readonly ReplayedEvaluation[];
}

/** Gives a monitor the rows and evaluations of an earlier session; returns the alarms that were raised then. */
export function replay(monitor: AlarmMonitor, { metrics, evaluations }: ReplayedLogs): Alarm[] {
  const stages = [...new Set([...evaluations, ...metrics].map(({ stage }) => stage))];
  // The first evaluation of a run comes before its rows, so the order of stages follows from both logs together.
  return stages.flatMap((stage) => {
    const heard = evaluations.filter((evaluation) => evaluation.stage === stage);
    const alarms: Alarm[] = [];
    let next = 0;
    for (const { row } of metrics.filter((one) => one.stage === stage)) {
      for (; next < heard.length && heard[next]!.step < row.step; next++)
        alarms.push(...monitor.evaluation(heard[next]!));
      alarms.push(...monitor.row(stage, row));
    }
    return [...alarms, ...heard.slice(next).flatMap((evaluation) => monitor.evaluation(evaluation))];
  });
}

/** Identifies an alarm: two alarms with the same key are the same one. */
export function alarmKey({
  stage,
  step,
  alarm,
  state,
  reward,
}: Pick<Alarm, "stage" | "step" | "alarm" | "state" | "reward">): string {
  return JSON.stringify([stage, step, alarm, state, reward]);
}

function ruleKey({ name, reward }: LevelRule): string {
  return reward === undefined ? name : `${name}/${reward}`;
}

const rewardsOf = (rows: readonly WatchedRow[]) =>
  rows.flatMap(({ reward }) => (typeof reward === "number" && Number.isFinite(reward) ? [reward] : []));

const meanOf = (values: readonly number[]) => sumOf(values) / values.length;

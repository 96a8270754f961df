/**
 * The demonstrations of a task as the engine takes them, in steps of so many tokens. Demonstration i is a function of
 * (seed, i), so a place in the stream is one integer.
 */

import type { Datum, Policy } from "../../engine/contract/policy.ts";
import { ConfigError, DataError } from "../../errors.ts";
import { hashString, philox } from "../../random.ts";

import type { Demonstration, Problem, Task } from "../../tasks/task.ts";
import { withEnd } from "../../tokenizer/stop-tokens.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { endOfData } from "../length-config.ts";
import type { SftConfig } from "./config.ts";

/** How many demonstrations are looked at before the first step, where not all of them have to be. */
const PROBED_DEMONSTRATIONS = 256;
/** How many demonstrations the survey of lengths looks at: enough to find what is common. */
const SURVEYED_DEMONSTRATIONS = 256;

/**
 * The token weights of a completion and its end (`withEnd`; `isTurn` where the completion is a turn of a conversation): 1,
 * or the weight of the last listed span that the token overlaps. The text is encoded apart from its prompt, as the sampler
 * will produce it; a whole text has the end that its kind says.
 */
export function demonstrationTokens(
  demonstration: Demonstration,
  tokenizer: Tokenizer,
  isTurn = false,
): { completionTokens: Int32Array; weights: Float32Array } {
  const { completion, weightedSpans, wholeText } = demonstration;
  if (wholeText !== undefined) {
    const tokens = tokenizer.encode(completion, { addSpecial: wholeText === "plain" });
    const completionTokens = wholeText === "plain" ? Int32Array.from(withEnd(tokens, tokenizer, false)) : tokens;
    return { completionTokens, weights: new Float32Array(completionTokens.length).fill(1) };
  }
  if (weightedSpans.length === 0) {
    const completionTokens = Int32Array.from(withEnd(tokenizer.encode(completion), tokenizer, isTurn));
    return { completionTokens, weights: new Float32Array(completionTokens.length).fill(1) };
  }
  const { tokens, spans } = tokenizer.tokenSpans(completion);
  const weights = spans.map(([start, end]) => {
    const covering = weightedSpans.findLast((span) => span.start < end && start < span.end);
    return covering?.weight ?? 1;
  });
  const completionTokens = Int32Array.from(withEnd(tokens, tokenizer, isTurn));
  const ends = Array.from({ length: completionTokens.length - tokens.length }, () => 1);
  return { completionTokens, weights: Float32Array.from([...weights, ...ends]) };
}

/** Tokens of a demonstration that carry a loss. */
function learnedTokens({ weights }: Datum): number {
  return weights.filter((weight) => weight !== 0).length;
}

/** Tokens of data, prompts included. */
export function tokenCount(data: readonly Datum[]): number {
  return data.reduce(
    (sum, { promptTokens, completionTokens }) => sum + promptTokens.length + completionTokens.length,
    0,
  );
}

/** What demonstrations are made from. */
export interface DemonstrationParts {
  readonly engine: Policy;
  readonly tokenizer: Tokenizer;
  readonly task: Task;
  readonly seed: number;
}

/** The keys that say which demonstrations are taken. */
export type DemonstrationLimits = Pick<
  SftConfig,
  "batchTokens" | "batchDemonstrations" | "demonstrationsPerProblem" | "maxTokens" | "overlong" | "steps" | "epochs"
>;

/** What one step learns from. */
export interface DemonstrationBatch {
  readonly demonstrations: readonly Datum[];
  /** Index of the first demonstration after it. */
  readonly cursor: number;
  /** How many were left out because they are too long. */
  readonly tooLong: number;
  /** How many were cut. */
  readonly truncated: number;
}

/** How the limits affect the first demonstrations. */
export interface LengthSurvey {
  /** How many were looked at. */
  readonly looked: number;
  /** The longest that is read, in tokens. */
  readonly maxTokens: number;
  /** Left out because they are too long, or nothing of them would be left. */
  readonly leftOut: number;
  /** Cut at the end, without their end token. */
  readonly cut: number;
  /** Of these, those that lose at least half of what is to be learned. */
  readonly mostlyCut: number;
  /** Share of the tokens to be learned that are cut away or left out. */
  readonly lostShare: number;
  /** Mean length of the completions that are read; 0 where none is. */
  readonly meanCompletionTokens: number;
}

/** A stream over a task: without end, or `epochs` passes over its data set, each in an order of its own. */
export class DemonstrationStream {
  private readonly parts: DemonstrationParts;
  private readonly limits: DemonstrationLimits;
  /** Longer demonstrations fall under the policy. */
  private readonly maxTokens: number;
  /** Index of the first demonstration that is not trained on. */
  private readonly end: number;

  constructor(parts: DemonstrationParts, limits: DemonstrationLimits) {
    this.parts = parts;
    this.limits = limits;
    this.maxTokens = Math.min(limits.maxTokens ?? limits.batchTokens, parts.engine.info.maxContextTokens);
    this.end = endOfData(limits, parts.task);
  }

  /** The demonstration of a problem, weights not yet normalised. Throws ConfigError where the task has none. */
  of(problem: Problem, demonstrationSeed: number): Datum {
    const { task, tokenizer } = this.parts;
    if (!task.demonstrate) {
      throw new ConfigError(`The task ${task.name} has no demonstrations, so there is nothing for SFT to train on.`);
    }
    const demonstration = task.demonstrate(problem, demonstrationSeed);
    const prompt = demonstration.prompt ?? problem.prompt;
    if (demonstration.wholeText !== undefined) {
      // The first token has no tokens before it from which it could be predicted.
      const { completionTokens, weights } = demonstrationTokens(demonstration, tokenizer);
      return {
        promptTokens: completionTokens.slice(0, 1),
        completionTokens: completionTokens.slice(1),
        weights: weights.slice(1),
      };
    }
    const isTurn = task.isTurn?.(problem) ?? false;
    return { promptTokens: tokenizer.encode(prompt), ...demonstrationTokens(demonstration, tokenizer, isTurn) };
  }

  /**
   * Refuses data that cannot be trained on, before any training.
   *
   * @throws ConfigError where none of the first demonstrations fits (training would search them for ever), or, where that
   * is an error, one of them does not.
   */
  probe(): void {
    const { task, engine } = this.parts;
    const strict = this.limits.overlong === "error";
    const count = strict && Number.isFinite(task.trainCount) ? Math.ceil(task.trainCount) : PROBED_DEMONSTRATIONS;
    let shortest = Number.POSITIVE_INFINITY;
    for (let index = 0; index < count; index++) {
      const datum = this.at(index);
      const length = tokenCount([datum]);
      if (strict && length > this.maxTokens) throw this.tooLong(index, length);
      shortest = Math.min(shortest, length);
      if (!strict && this.fit(datum) !== undefined) return;
    }
    if (strict) return;
    throw new ConfigError(
      `The shortest of the first ${PROBED_DEMONSTRATIONS} demonstrations of ${task.name} has ${shortest} tokens, but only ` +
        `${this.maxTokens} fit (the smallest of maxTokens, batchTokens and the model's context, ` +
        `${engine.info.maxContextTokens}). Raise batchTokens, or take a model with a longer context.`,
    );
  }

  /** Looks at the first demonstrations: what the limits leave of them. */
  survey(): LengthSurvey {
    const { maxTokens } = this;
    const looked = Math.min(SURVEYED_DEMONSTRATIONS, this.end, this.parts.task.trainCount);
    let [leftOut, cut, mostlyCut, learned, kept, completions] = [0, 0, 0, 0, 0, 0];
    for (let index = 0; index < looked; index++) {
      const whole = this.at(index);
      const fitting = this.fit(whole);
      const [all, left] = [learnedTokens(whole), fitting === undefined ? 0 : learnedTokens(fitting)];
      learned += all;
      kept += left;
      completions += fitting?.completionTokens.length ?? 0;
      if (fitting === undefined) leftOut++;
      else if (fitting !== whole) {
        cut++;
        if (2 * left <= all) mostlyCut++;
      }
    }
    const lostShare = learned === 0 ? 0 : 1 - kept / learned;
    const meanCompletionTokens = completions / Math.max(1, looked - leftOut);
    return { looked, maxTokens, leftOut, cut, mostlyCut, lostShare, meanCompletionTokens };
  }

  /**
   * Demonstrations from `cursor` on until the next would exceed `batchTokens`, or the data end; where demonstrations are
   * counted, until there are so many, or the pass over the data ends.
   */
  batch(cursor: number): DemonstrationBatch {
    const { batchDemonstrations = Number.POSITIVE_INFINITY } = this.limits;
    const demonstrations: Datum[] = [];
    let [tokens, tooLong, truncated] = [0, 0, 0];
    let index = cursor;
    for (; index < this.end; index++) {
      if (demonstrations.length >= batchDemonstrations) break;
      if (demonstrations.length > 0 && this.endsPass(index)) break;
      const whole = this.at(index);
      const next = this.fit(whole);
      if (next === undefined) {
        if (this.limits.overlong === "error") throw this.tooLong(index, tokenCount([whole]));
        tooLong++;
        continue;
      }
      const length = tokenCount([next]);
      if (tokens + length > this.limits.batchTokens) break;
      if (next !== whole) truncated++;
      demonstrations.push(next);
      tokens += length;
    }
    return { demonstrations, cursor: index, tooLong, truncated };
  }

  /**
   * The number of optimizer steps of the stream, counted by going through it once: this only takes the time of the
   * tokenizer.
   */
  countSteps(): number {
    let steps = 0;
    for (let cursor = 0; cursor < this.end; ) {
      const batch = this.batch(cursor);
      if (batch.demonstrations.length > 0) steps++;
      cursor = batch.cursor;
    }
    return steps;
  }

  /** Those of held-out problems that can be demonstrated and fit; without a reference there is nothing to compare with. */
  heldOut(problems: readonly Problem[]): Datum[] {
    return problems.flatMap((problem, index) => {
      const seed = philox(this.parts.seed, hashString("held-out demonstration"), [index])[0];
      try {
        return this.fit(this.of(problem, seed)) ?? [];
      } catch (error) {
        if (error instanceof DataError) return [];
        throw error;
      }
    });
  }

  /** Whether a pass over the data has ended before demonstration `index`, and steps end there too. */
  private endsPass(index: number): boolean {
    const { batchDemonstrations, demonstrationsPerProblem } = this.limits;
    return batchDemonstrations !== undefined && index % (demonstrationsPerProblem * this.parts.task.trainCount) === 0;
  }

  /** The problem that demonstration `index` is of. */
  private problemOf(index: number): number {
    return Math.floor(index / this.limits.demonstrationsPerProblem);
  }

  /** Demonstration number `index`. */
  private at(index: number): Datum {
    const { task, seed } = this.parts;
    const problem = task.trainProblem(this.problemOf(index));
    return this.of(problem, philox(seed, hashString("demonstration"), [index])[0]);
  }

  /** The demonstration itself, cut where that is the policy, or undefined where it cannot be trained on. */
  private fit(datum: Datum): Datum | undefined {
    if (tokenCount([datum]) <= this.maxTokens) return datum;
    const room = this.maxTokens - datum.promptTokens.length;
    if (this.limits.overlong !== "truncate" || room < 1) return undefined;
    const { completionTokens, weights } = datum;
    return { ...datum, completionTokens: completionTokens.slice(0, room), weights: weights.slice(0, room) };
  }

  private tooLong(index: number, length: number): ConfigError {
    const { id, place = `number ${id}` } = this.parts.task.trainProblem(this.problemOf(index));
    return new ConfigError(
      `The demonstration of problem ${id} (${place}) has ${length} tokens, more than ${this.maxTokens} (the smallest of ` +
        "maxTokens, batchTokens and the model's context). Raise them, leave the row out, or set overlong to drop or truncate.",
    );
  }
}

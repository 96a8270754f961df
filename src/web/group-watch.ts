/**
 * One group of each iteration, as the page shows it: what the sampler wrote and gave each token, how it was judged, and what
 * the model gives the same tokens after the step.
 */

import type { Policy } from "../engine/contract/policy.ts";
import type { SampledSequence } from "../engine/contract/sampler.ts";
import type { SamplePrompt } from "../engine/contract/sampling.ts";
import type { RolloutRecord } from "../run/records.ts";
import { StreamingDecoder } from "../tokenizer/streaming-decoder.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { GroupMessage, RewardPart, TabCompletion, TabProblem, TabToken } from "./protocol.ts";

/** Of a row what a group shows; tokens are those of `sampled`. */
type Row = Omit<RolloutRecord, "stage" | "tokens" | "samplerLogprobs" | "tokenAdvantages" | "ratios" | "entropies">;

/** A completion as it was sampled. */
interface Written {
  readonly promptTokens: Int32Array;
  readonly sequence: SampledSequence;
}

/** What of a run a group needs to be told. */
export interface WatchedRun {
  readonly tokenizer: Tokenizer;
  readonly temperature: number;
  /** Weights of the rewards by name. */
  readonly weights: ReadonlyMap<string, number>;
  /** The problem of this number in the stream of training. */
  readonly problemOf: (promptId: number) => TabProblem;
}

/** The rollouts of the last iteration. */
export class GroupWatch {
  /** Which group is sent: its place, or the one whose answers differ most. */
  choice: number | "mixed" = "mixed";
  readonly #sampled = new Map<number, Written[]>();
  /** Those of the iteration that is shown; evaluations are sampled, too. */
  #written = new Map<number, readonly Written[]>();
  #groups: (readonly Row[])[] = [];
  #tryOutStep: number | undefined;
  #scored: { readonly group: number; readonly logprobs: readonly Float32Array[] } | undefined;

  /** Remembers what a call of `sample` gave, until its rollouts come. */
  sampled(prompts: readonly SamplePrompt[], sequences: readonly SampledSequence[]): void {
    for (const prompt of prompts) this.#sampled.delete(prompt.promptId);
    for (const sequence of sequences) {
      const { promptId, tokens } = prompts[sequence.promptIndex]!;
      const written = this.#sampled.get(promptId) ?? [];
      written.push({ promptTokens: tokens, sequence });
      this.#sampled.set(promptId, written);
    }
  }

  /** The iteration's completions, judged and compared; of a try-out the step, and nothing is compared. */
  rollouts(rows: readonly Row[], tryOutStep?: number): void {
    this.#tryOutStep = tryOutStep;
    const groups = new Map<number, Row[]>();
    for (const row of rows) groups.set(row.promptId, [...(groups.get(row.promptId) ?? []), row]);
    this.#groups = [...groups.values()];
    this.#scored = undefined;
    this.#written = new Map([...groups.keys()].map((promptId) => [promptId, this.#sampled.get(promptId) ?? []]));
    this.#sampled.clear();
  }

  /** Whether there is an iteration to show. */
  get isEmpty(): boolean {
    return this.#groups.length === 0;
  }

  /** Whether what there is was tried out in the cold start. */
  get isTryOut(): boolean {
    return this.#tryOutStep !== undefined;
  }

  /** What the model now gives the tokens of the chosen group. */
  async score(engine: Pick<Policy, "score">, temperature: number): Promise<void> {
    const group = this.#chosen();
    const data = this.#writtenOf(group).map(({ promptTokens, sequence }) => {
      const { tokens: completionTokens, keptTokens } = sequence;
      return { promptTokens, completionTokens, ...(keptTokens && { keptTokens }) };
    });
    if (data.length === 0) return;
    const { logprobs } = await engine.score(data, { temperature });
    this.#scored = { group, logprobs };
  }

  /** The chosen group; without `after` where it was not scored after the step. */
  message({ tokenizer, temperature, weights, problemOf }: WatchedRun): GroupMessage {
    const group = this.#chosen();
    const rows = this.#groups[group]!;
    const written = this.#writtenOf(group);
    const after = this.#scored?.group === group ? this.#scored.logprobs : undefined;
    const { iteration, prompt, promptId } = rows[0]!;
    const when =
      this.#tryOutStep === undefined ? { iteration: iteration + 1 } : { iteration: 0, tryOutStep: this.#tryOutStep };
    return {
      ...{ type: "group", ...when, group, groups: this.#groups.length },
      ...{ problem: problemOf(promptId), prompt, temperature },
      completions: rows.map((row, i) => {
        const tokens = written[i] ? tokensOf(tokenizer, written[i].sequence, after?.[i]) : [];
        return completionOf(row, tokens, weights);
      }),
    };
  }

  #writtenOf(group: number): readonly Written[] {
    const rows = this.#groups[group] ?? [];
    return this.#written.get(rows[0]?.promptId ?? -1) ?? [];
  }

  /** The share of solved answers that is nearest to a half teaches most. */
  #chosen(): number {
    if (this.choice !== "mixed") return Math.min(this.choice, this.#groups.length - 1);
    const distance = (rows: readonly Row[]) =>
      Math.abs(rows.filter(({ solved }) => solved).length / rows.length - 1 / 2);
    const distances = this.#groups.map(distance);
    return distances.indexOf(Math.min(...distances));
  }
}

function completionOf(row: Row, tokens: readonly TabToken[], weights: ReadonlyMap<string, number>): TabCompletion {
  const { solved = false, finishReason, reward, advantage } = row;
  const rewards = Object.entries(row.rewards).map(([name, { score, reason }]): RewardPart => {
    return { name, weight: weights.get(name) ?? 1, score, reason };
  });
  return { tokens, isSolved: solved, isCut: finishReason === "length", reward, advantage: advantage ?? 0, rewards };
}

/** The text of each token; joined it is the completion with its special tokens. */
function tokensOf(tokenizer: Tokenizer, { tokens, logprobs }: SampledSequence, after: Float32Array | undefined) {
  const decoder = new StreamingDecoder(tokenizer, { keepSpecial: true });
  return Array.from(tokens, (token, i): TabToken => {
    const text = decoder.push(token) + (i === tokens.length - 1 ? decoder.end() : "");
    return { text, before: logprobs[i]!, after: after?.[i] ?? null };
  });
}

/**
 * A sampling session of the embedded engine: `decode-loop.ts` over a list that grows while it is worked off.
 *
 * Work is done in bursts. A burst is one turn of the engine, so no verb changes weights while a sequence is decoded. A
 * burst ends when nothing is left to do. If a verb waits for its turn, the burst ends when the sequences that are being
 * decoded have ended.
 */

import type { Draw, DrawRequest } from "../../compute/draw-token.ts";
import type { LogitRules } from "../../compute/logit-rules.ts";
import { EngineError } from "../../errors.ts";
import type { SamplerInfo } from "../contract/sampler.ts";
import type {
  DrawnToken,
  LogitAdjustments,
  PromptLogprobs,
  RunningSequence,
  SamplingSession,
  SequenceEnd,
  SequenceRequest,
  SessionLoad,
} from "../contract/session.ts";
import { type DecodedSequence, DecodeLoop } from "./decode-loop.ts";
import { drawRequest, requireSound } from "./draw-request.ts";
import { GrowingSlots } from "./growing-slots.ts";
import type { SamplerLimits } from "./limits.ts";
import { PrefillPacing } from "./prefill-pacing.ts";
import { requireSequence } from "./requests.ts";
import type { SamplingProgram } from "./sampling-program.ts";
import type { Weights } from "./weights.ts";

/** What a session has of its engine. */
export interface SessionHost {
  readonly info: SamplerInfo;
  readonly program: SamplingProgram;
  /** What the engine samples with now; asked when its turn has come. */
  readonly weights: () => Weights;
  readonly limits: SamplerLimits;
  /** Carries out work when the engine's turn comes. */
  readonly inTurn: (work: () => Promise<void>) => Promise<void>;
  /** Whether a verb waits for its turn. */
  readonly contended: () => boolean;
}

export class LocalSession implements SamplingSession {
  readonly #host: SessionHost;
  readonly #slots: GrowingSlots;
  readonly #loop: DecodeLoop<SessionSequence>;
  readonly #waiting: SessionSequence[] = [];
  /** The bursts that are under way; undefined where there is nothing to do. */
  #serving: Promise<void> | undefined;
  #closed = false;

  constructor(host: SessionHost) {
    this.#host = host;
    this.#slots = new GrowingSlots(host.program, host.limits);
    this.#loop = new DecodeLoop(host.program, this.#slots, {
      admits: () => !host.contended(),
      pacing: new PrefillPacing(),
    });
  }

  get load(): SessionLoad {
    return { active: this.#loop.active.length, waiting: this.#waiting.length };
  }

  submit(
    request: SequenceRequest,
    onToken: (token: DrawnToken) => void,
    onPrompt: (prompt: PromptLogprobs) => void = () => {},
  ): RunningSequence {
    if (this.#closed) throw new EngineError("This sampling session is closed; open another one.");
    requireSequence(this.#host.info, request);
    const sequence = new SessionSequence(request, { onToken, onPrompt, onCancel: () => this.#withdraw(sequence) });
    this.#waiting.push(sequence);
    this.#serving ??= this.#serve();
    return sequence;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const sequence of [...this.#loop.active, ...this.#waiting]) sequence.cancel();
    await this.#serving;
    this.#slots.release();
  }

  /** A cancelled sequence that waits is gone at once; one that is decoded leaves its slot at the next step. */
  #withdraw(sequence: SessionSequence): void {
    const index = this.#waiting.indexOf(sequence);
    if (index >= 0) this.#waiting.splice(index, 1);
  }

  async #serve(): Promise<void> {
    // What is submitted together begins together.
    await null;
    while (this.#waiting.length > 0) {
      try {
        await this.#host.inTurn(() => this.#loop.run(this.#host.weights(), this.#waiting));
      } catch (error) {
        // The engine was disposed of, or its computation failed. No single sequence is at fault, so all of them end.
        for (const sequence of [...this.#loop.active.splice(0), ...this.#waiting.splice(0)]) sequence.fail(error);
      }
    }
    this.#serving = undefined;
  }
}

/** The callbacks and the promise that report what happens to a sequence. */
interface SequenceOwner {
  readonly onToken: (token: DrawnToken) => void;
  readonly onPrompt: (prompt: PromptLogprobs) => void;
  readonly onCancel: () => void;
}

/** One sequence of a session. */
class SessionSequence implements DecodedSequence, RunningSequence {
  readonly finished: Promise<SequenceEnd>;
  readonly mostPositions: number;
  readonly tokens: number[] = [];
  readonly #request: SequenceRequest;
  readonly #owner: SequenceOwner;
  readonly #settle: { readonly resolve: (end: SequenceEnd) => void; readonly reject: (error: unknown) => void };
  /** How often each token was drawn, where the draws depend on it. */
  readonly #counts = new Map<number, number>();
  readonly #rules: LogitRules | undefined;
  #cancelled = false;

  constructor(request: SequenceRequest, owner: SequenceOwner) {
    let settle: { resolve: (end: SequenceEnd) => void; reject: (error: unknown) => void } | undefined;
    this.finished = new Promise((resolve, reject) => {
      settle = { resolve, reject };
    });
    this.#settle = settle!;
    this.#request = request;
    this.#owner = owner;
    this.#rules = request.adjustments && rulesOf(request.tokens, request.adjustments, this.#counts);
    this.mostPositions = request.tokens.length + request.params.maxCompletionTokens;
  }

  get prompt(): Int32Array {
    return this.#request.tokens;
  }

  get promptLogprobs(): number | undefined {
    return this.#request.promptLogprobs;
  }

  get cancelled(): boolean {
    return this.#cancelled;
  }

  cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#settle.resolve("cancelled");
    this.#owner.onCancel();
  }

  fail(error: unknown): void {
    this.#settle.reject(error);
  }

  nextDraw(row: number): DrawRequest {
    const { params, promptId, sampleIndex, topLogprobs = 0, logprobTemperature } = this.#request;
    const place = { promptId, sampleIndex, position: this.tokens.length };
    return { ...drawRequest(row, params, place), topLogprobs, rules: this.#rules, logprobTemperature };
  }

  /** An error is this sequence's end, not that of the others; here and below. */
  computed(scores: PromptLogprobs | undefined): boolean {
    const { params, promptLogprobs } = this.#request;
    try {
      if (promptLogprobs !== undefined) {
        for (const logprob of scores!.logprobs) requireSound({ logprob });
        this.#owner.onPrompt(fewerAlternatives(scores!, promptLogprobs));
      }
      if (this.#cancelled) return true;
      if (params.maxCompletionTokens > 0) return false;
      this.#settle.resolve("length");
    } catch (error) {
      this.#settle.reject(error);
    }
    return true;
  }

  take(draw: Draw): boolean {
    const { params } = this.#request;
    const { token, logprob, top = [] } = draw;
    try {
      requireSound(draw);
      this.tokens.push(token);
      if (this.#rules) this.#counts.set(token, (this.#counts.get(token) ?? 0) + 1);
      this.#owner.onToken({ token, logprob, top });
      if (this.#cancelled) return true;
      const stopped = params.stopTokenIds.includes(token);
      if (!stopped && this.tokens.length < params.maxCompletionTokens) return false;
      this.#settle.resolve(stopped ? "stop" : "length");
    } catch (error) {
      this.#settle.reject(error);
    }
    return true;
  }
}

/** The rules of a sequence's draws. */
function rulesOf(
  prompt: Int32Array,
  { bias = new Map(), repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0 }: LogitAdjustments,
  counts: ReadonlyMap<number, number>,
): LogitRules {
  const promptTokens = new Set(repetitionPenalty === 1 ? [] : prompt);
  return { bias, repetitionPenalty, frequencyPenalty, presencePenalty, promptTokens, counts };
}

/** The first `count` alternatives at each place: a prompt is scored once for all that share it, with the most asked for. */
function fewerAlternatives(scores: PromptLogprobs, count: number): PromptLogprobs {
  const { logprobs, topTokens, topLogprobs } = scores;
  const width = logprobs.length === 0 ? 0 : topTokens.length / logprobs.length;
  if (count >= width) return scores;
  const isFirst = (_: number, i: number) => i % width < count;
  return { logprobs, topTokens: topTokens.filter(isFirst), topLogprobs: topLogprobs.filter(isFirst) };
}

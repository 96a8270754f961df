/**
 * A sampling session of the embedded engine: `decode-loop.ts` over a list that grows while it is worked off.
 *
 * Work comes in bursts. A burst is one turn of the engine, so no verb changes weights under a sequence; it ends when
 * nothing is left to do, or, where a verb waits for its turn, when what is being decoded has ended.
 */

import { EngineError } from "../../errors.ts";
import type { SamplerInfo } from "../contract/sampler.ts";
import type {
  DrawnToken,
  PromptLogprobs,
  RunningSequence,
  SamplingSession,
  SequenceEnd,
  SequenceRequest,
  SessionLoad,
} from "../contract/session.ts";
import { LogitAdjuster } from "./adjust-logits.ts";
import { type DecodedSequence, DecodeLoop } from "./decode-loop.ts";
import { mostProbable, withLogprobs } from "./draw.ts";
import { drawAt, notFinite } from "./draw-at.ts";
import { GrowingSlots } from "./growing-slots.ts";
import type { ComputedPrompt } from "./prefill.ts";
import { PrefillPacing } from "./prefill-pacing.ts";
import { requireSequence } from "./requests.ts";
import type { SamplerLimits } from "./sampler.ts";
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
        // The engine is gone, or its computation failed: nobody's fault, and the end of all.
        for (const sequence of [...this.#loop.active.splice(0), ...this.#waiting.splice(0)]) sequence.fail(error);
      }
    }
    this.#serving = undefined;
  }
}

/** Who is told what becomes of a sequence. */
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
  readonly #adjuster: LogitAdjuster | undefined;
  #cancelled = false;

  constructor(request: SequenceRequest, owner: SequenceOwner) {
    let settle: { resolve: (end: SequenceEnd) => void; reject: (error: unknown) => void } | undefined;
    this.finished = new Promise((resolve, reject) => {
      settle = { resolve, reject };
    });
    this.#settle = settle!;
    this.#request = request;
    this.#owner = owner;
    this.#adjuster = request.adjustments && new LogitAdjuster(request.tokens, request.adjustments);
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

  /** An error is this sequence's end, not that of the others; here and below. */
  begin({ logits, scores }: ComputedPrompt): boolean {
    try {
      if (this.promptLogprobs !== undefined) {
        if (!scores!.logprobs.every(Number.isFinite)) throw notFinite();
        this.#owner.onPrompt(fewerAlternatives(scores!, this.promptLogprobs));
      }
    } catch (error) {
      this.#settle.reject(error);
      return true;
    }
    if (this.#cancelled) return true;
    if (this.#request.params.maxCompletionTokens > 0) return this.extend(logits);
    this.#settle.resolve("length");
    return true;
  }

  extend(logits: Float32Array): boolean {
    const { params, promptId, sampleIndex, topLogprobs = 0 } = this.#request;
    const drawTemperature = params.temperature === 0 ? 1 : params.temperature;
    const { logprobTemperature = drawTemperature } = this.#request;
    try {
      const place = { promptId, sampleIndex, position: this.tokens.length };
      const draw = drawAt(this.#adjuster?.adjusted(logits) ?? logits, params, place);
      const { token } = draw;
      this.tokens.push(token);
      this.#adjuster?.add(token);
      const isOwn = this.#adjuster === undefined && logprobTemperature === drawTemperature;
      const { logprob } = isOwn ? draw : withLogprobs(logits, [token], logprobTemperature)[0]!;
      this.#owner.onToken({ token, logprob, top: mostProbable(logits, topLogprobs, logprobTemperature) });
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

/** The first `count` alternatives at each place: a prompt is scored once for all that share it, with the most asked for. */
function fewerAlternatives(scores: PromptLogprobs, count: number): PromptLogprobs {
  const { logprobs, topTokens, topLogprobs } = scores;
  const width = logprobs.length === 0 ? 0 : topTokens.length / logprobs.length;
  if (count >= width) return scores;
  const isFirst = (_: number, i: number) => i % width < count;
  return { logprobs, topTokens: topTokens.filter(isFirst), topLogprobs: topLogprobs.filter(isFirst) };
}

/**
 * A sampling session of the embedded engine: `decode-loop.ts` over a list that grows while it is worked off.
 *
 * Work comes in bursts. A burst is one turn of the engine, so no verb changes weights under a sequence; it ends when
 * nothing is left to do, or, where a verb waits for its turn, when what is being decoded has ended.
 */

import { EngineError } from "../../errors.ts";
import type { EngineInfo } from "../engine.ts";
import type {
  DrawnToken,
  RunningSequence,
  SamplingSession,
  SequenceEnd,
  SequenceRequest,
  SessionLoad,
} from "../session.ts";
import { LogitAdjuster } from "./adjust-logits.ts";
import { type DecodedSequence, DecodeLoop } from "./decode-loop.ts";
import { mostProbable, withLogprobs } from "./draw.ts";
import { drawAt } from "./draw-at.ts";
import { GrowingSlots } from "./growing-slots.ts";
import { requireSequence } from "./requests.ts";
import type { SamplerLimits } from "./sampler.ts";
import type { SamplingProgram } from "./sampling-program.ts";
import type { Weights } from "./weights.ts";

/** What a session has of its engine. */
export interface SessionHost {
  readonly info: EngineInfo;
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
    this.#loop = new DecodeLoop(host.program, this.#slots, { admits: () => !host.contended() });
  }

  get load(): SessionLoad {
    return { active: this.#loop.active.length, waiting: this.#waiting.length };
  }

  submit(request: SequenceRequest, onToken: (token: DrawnToken) => void): RunningSequence {
    if (this.#closed) throw new EngineError("This sampling session is closed; open another one.");
    requireSequence(this.#host.info, request);
    const sequence = new SessionSequence(request, onToken, () => this.#withdraw(sequence));
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

/** One sequence of a session. */
class SessionSequence implements DecodedSequence, RunningSequence {
  readonly finished: Promise<SequenceEnd>;
  readonly mostPositions: number;
  readonly tokens: number[] = [];
  readonly #request: SequenceRequest;
  readonly #onToken: (token: DrawnToken) => void;
  readonly #onCancel: () => void;
  readonly #settle: { readonly resolve: (end: SequenceEnd) => void; readonly reject: (error: unknown) => void };
  readonly #adjuster: LogitAdjuster | undefined;
  #cancelled = false;

  constructor(request: SequenceRequest, onToken: (token: DrawnToken) => void, onCancel: () => void) {
    let settle: { resolve: (end: SequenceEnd) => void; reject: (error: unknown) => void } | undefined;
    this.finished = new Promise((resolve, reject) => {
      settle = { resolve, reject };
    });
    this.#settle = settle!;
    this.#request = request;
    this.#onToken = onToken;
    this.#onCancel = onCancel;
    this.#adjuster = request.adjustments && new LogitAdjuster(request.tokens, request.adjustments);
    this.mostPositions = request.tokens.length + request.params.maxCompletionTokens;
  }

  get prompt(): Int32Array {
    return this.#request.tokens;
  }

  get cancelled(): boolean {
    return this.#cancelled;
  }

  cancel(): void {
    if (this.#cancelled) return;
    this.#cancelled = true;
    this.#settle.resolve("cancelled");
    this.#onCancel();
  }

  fail(error: unknown): void {
    this.#settle.reject(error);
  }

  /** An error is this sequence's end, not that of the others. */
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
      this.#onToken({ token, logprob, top: mostProbable(logits, topLogprobs, logprobTemperature) });
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

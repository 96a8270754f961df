/**
 * A sampling session over a function that says what comes next: slots, a queue, a step that gives every active sequence
 * one token. It is the session of the reference engine, and of tests that want a completion to be what they say.
 */

import { setImmediate } from "node:timers/promises";
import type {
  DrawnToken,
  PromptLogprobs,
  RunningSequence,
  SamplingSession,
  SequenceEnd,
  SequenceRequest,
} from "../../src/engine/contract/session.ts";
import { EngineError } from "../../src/errors.ts";

export interface StepSessionOptions {
  /** The next token of a completion that so far has these. */
  readonly next: (request: SequenceRequest, tokens: readonly number[]) => DrawnToken;
  /** The scores of the prompt of a request that asks for them. */
  readonly scorePrompt?: (request: SequenceRequest) => PromptLogprobs;
  readonly slots?: number;
  /** Throws for a request that cannot be served. */
  readonly check?: (request: SequenceRequest) => void;
  readonly inTurn?: (work: () => Promise<void>) => Promise<void>;
}

interface Stepped {
  readonly request: SequenceRequest;
  readonly onToken: (token: DrawnToken) => void;
  /** Called with the prompt's scores, once. */
  onPrompt: ((prompt: PromptLogprobs) => void) | undefined;
  readonly tokens: number[];
  readonly resolve: (end: SequenceEnd) => void;
  readonly reject: (error: unknown) => void;
}

export class StepSession implements SamplingSession {
  /** Every request that was submitted. */
  readonly requests: SequenceRequest[] = [];
  readonly #options: StepSessionOptions;
  #active: Stepped[] = [];
  #waiting: Stepped[] = [];
  #serving: Promise<void> | undefined;
  #open = true;
  #gate: Promise<void> = Promise.resolve();

  constructor(options: StepSessionOptions) {
    this.#options = options;
  }

  get load() {
    return { active: this.#active.length, waiting: this.#waiting.length };
  }

  /** No step is taken until the function that this returns is called: a test can look at a session that is busy. */
  shutGate(): () => void {
    let open = () => {};
    this.#gate = new Promise((resolve) => {
      open = resolve;
    });
    return () => open();
  }

  submit(
    request: SequenceRequest,
    onToken: (token: DrawnToken) => void,
    onPrompt?: (prompt: PromptLogprobs) => void,
  ): RunningSequence {
    if (!this.#open) throw new EngineError("This session is closed.");
    this.#options.check?.(request);
    this.requests.push(request);
    let stepped: Stepped | undefined;
    const finished = new Promise<SequenceEnd>((resolve, reject) => {
      stepped = { request, onToken, onPrompt, tokens: [], resolve, reject };
    });
    this.#waiting.push(stepped!);
    this.#serving ??= this.#serve();
    return {
      finished,
      cancel: () => {
        if (this.#remove(stepped!)) stepped!.resolve("cancelled");
      },
    };
  }

  async close(): Promise<void> {
    this.#open = false;
    for (const { resolve } of [...this.#active, ...this.#waiting]) resolve("cancelled");
    this.#active = [];
    this.#waiting = [];
    await this.#serving;
  }

  #remove(stepped: Stepped): boolean {
    for (const list of [this.#active, this.#waiting]) {
      const index = list.indexOf(stepped);
      if (index < 0) continue;
      list.splice(index, 1);
      return true;
    }
    return false;
  }

  async #serve(): Promise<void> {
    const { inTurn = (work: () => Promise<void>) => work() } = this.#options;
    await inTurn(async () => {
      while (this.#active.length + this.#waiting.length > 0) {
        const free = (this.#options.slots ?? 8) - this.#active.length;
        this.#active.push(...this.#waiting.splice(0, free));
        await this.#gate;
        await setImmediate();
        for (const stepped of [...this.#active]) this.#step(stepped);
      }
      this.#serving = undefined;
    });
  }

  #step(stepped: Stepped): void {
    if (!this.#active.includes(stepped)) return;
    const { request, onToken, tokens, resolve, reject } = stepped;
    const { stopTokenIds, maxCompletionTokens } = request.params;
    try {
      if (request.promptLogprobs !== undefined) {
        stepped.onPrompt?.(this.#options.scorePrompt!(request));
        stepped.onPrompt = undefined;
        if (!this.#active.includes(stepped)) return;
      }
      if (maxCompletionTokens === 0) {
        if (this.#remove(stepped)) resolve("length");
        return;
      }
      const drawn = this.#options.next(request, tokens);
      tokens.push(drawn.token);
      onToken(drawn);
      const stopped = stopTokenIds.includes(drawn.token);
      if (!stopped && tokens.length < maxCompletionTokens) return;
      if (this.#remove(stepped)) resolve(stopped ? "stop" : "length");
    } catch (error) {
      if (this.#remove(stepped)) reject(error);
    }
  }
}

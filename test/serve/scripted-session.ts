/**
 * A session that samples what a script says, with slots and a queue like a real one: a step gives every active sequence
 * one token. Time stands still while the gate is shut, so that a test can look at a server that is busy.
 */

import { setImmediate } from "node:timers/promises";
import type {
  DrawnToken,
  RunningSequence,
  SamplingSession,
  SequenceEnd,
  SequenceRequest,
} from "../../src/engine/session.ts";
import type { ServedModel } from "../../src/serve/served-model.ts";
import { buildTokenizer } from "../../src/tokenizer/build.ts";
import { StreamingDecoder } from "../../src/tokenizer/streaming-decoder.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";

/** The completion of a request, as the tokens that would be drawn one after another for as long as it may go on. */
export type Script = (request: SequenceRequest) => Iterable<number>;

interface Scripted {
  readonly request: SequenceRequest;
  readonly tokens: Iterator<number>;
  readonly onToken: (token: DrawnToken) => void;
  readonly settle: { resolve: (end: SequenceEnd) => void; reject: (error: unknown) => void };
  count: number;
}

export class ScriptedSession implements SamplingSession {
  readonly requests: SequenceRequest[] = [];
  readonly #slots: number;
  readonly #script: Script;
  #active: Scripted[] = [];
  #waiting: Scripted[] = [];
  #stepping = false;
  #open = true;
  #gate: Promise<void> = Promise.resolve();

  constructor(script: Script, slots = 8) {
    this.#script = script;
    this.#slots = slots;
  }

  get load() {
    return { active: this.#active.length, waiting: this.#waiting.length };
  }

  /** No step is taken until the function that this returns is called. */
  shutGate(): () => void {
    let open = () => {};
    this.#gate = new Promise((resolve) => {
      open = resolve;
    });
    return () => open();
  }

  submit(request: SequenceRequest, onToken: (token: DrawnToken) => void): RunningSequence {
    if (!this.#open) throw new Error("submitted to a session that is closed");
    this.requests.push(request);
    let settle: Scripted["settle"] | undefined;
    const finished = new Promise<SequenceEnd>((resolve, reject) => {
      settle = { resolve, reject };
    });
    const scripted = { request, tokens: this.#script(request)[Symbol.iterator](), onToken, settle: settle!, count: 0 };
    this.#waiting.push(scripted);
    if (!this.#stepping) void this.#run();
    return {
      finished,
      cancel: () => {
        if (this.#remove(scripted)) scripted.settle.resolve("cancelled");
      },
    };
  }

  async close(): Promise<void> {
    this.#open = false;
    for (const scripted of [...this.#active, ...this.#waiting]) scripted.settle.resolve("cancelled");
    this.#active = [];
    this.#waiting = [];
  }

  #remove(scripted: Scripted): boolean {
    for (const list of [this.#active, this.#waiting]) {
      const index = list.indexOf(scripted);
      if (index < 0) continue;
      list.splice(index, 1);
      return true;
    }
    return false;
  }

  async #run(): Promise<void> {
    this.#stepping = true;
    while (this.#active.length + this.#waiting.length > 0) {
      while (this.#active.length < this.#slots && this.#waiting.length > 0) this.#active.push(this.#waiting.shift()!);
      await this.#gate;
      await setImmediate();
      for (const scripted of [...this.#active]) this.#step(scripted);
    }
    this.#stepping = false;
  }

  #step(scripted: Scripted): void {
    if (!this.#active.includes(scripted)) return;
    const { request, tokens, onToken, settle } = scripted;
    try {
      const next = tokens.next();
      if (next.done) throw new Error("the script is over before the completion");
      const top = Array.from({ length: request.topLogprobs ?? 0 }, (_, rank) => ({
        token: next.value + rank,
        logprob: -0.25 - rank,
      }));
      onToken({ token: next.value, logprob: -0.25, top });
      scripted.count++;
      const stopped = request.params.stopTokenIds.includes(next.value);
      if (!stopped && scripted.count < request.params.maxCompletionTokens) return;
      if (this.#remove(scripted)) settle.resolve(stopped ? "stop" : "length");
    } catch (error) {
      if (this.#remove(scripted)) settle.reject(error);
    }
  }
}

/** The tokenizer of these tests: a character a token, with a chat template. */
export const characters = buildTokenizer("characters");

/** The tokens of a text and then the end-of-sequence token, for ever. */
export function* says(text: string, tokenizer: Tokenizer = characters): Generator<number> {
  yield* tokenizer.encode(text);
  for (;;) yield tokenizer.eosTokenId!;
}

/** A model that says what the script says. */
export function scriptedModel(session: SamplingSession, overrides: Partial<ServedModel> = {}): ServedModel {
  return {
    id: "scripted",
    created: 1_700_000_000,
    tokenizer: characters,
    newDecoder: () => new StreamingDecoder(characters),
    session,
    vocabSize: characters.vocabSize,
    maxContextTokens: 400,
    stopTokenIds: [characters.eosTokenId!],
    defaultMaxTokens: 100,
    ...overrides,
  };
}

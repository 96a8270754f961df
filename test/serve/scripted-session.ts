/** A model that says what a script says, for tests of everything between the engine and the client. */

import type { PromptLogprobs, SamplingSession, SequenceRequest } from "../../src/engine/contract/session.ts";
import type { ServedModel } from "../../src/serve/served-model.ts";
import { buildTokenizer } from "../../src/tokenizer/build.ts";
import { StreamingDecoder } from "../../src/tokenizer/streaming-decoder.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { StepSession } from "../engine/step-session.ts";

/** The completion of a request, as the tokens that would be drawn one after another for as long as it may go on. */
export type Script = (request: SequenceRequest) => Iterable<number>;

/**
 * A session that samples what the script says; each token has the log-probability −0.25, its successors one less each. A
 * prompt's token at place i has −i, and its successors one less each.
 */
export class ScriptedSession extends StepSession {
  constructor(script: Script, slots = 8) {
    const scripts = new Map<SequenceRequest, Iterator<number>>();
    const next = (request: SequenceRequest) => {
      const iterator = scripts.get(request) ?? script(request)[Symbol.iterator]();
      scripts.set(request, iterator);
      const { done, value: token } = iterator.next();
      if (done) throw new Error("the script is over before the completion");
      const top = (_: unknown, rank: number) => ({ token: token + rank, logprob: -0.25 - rank });
      return { token, logprob: -0.25, top: Array.from({ length: request.topLogprobs ?? 0 }, top) };
    };
    const scorePrompt = ({ tokens, promptLogprobs = 0 }: SequenceRequest): PromptLogprobs => {
      const places = tokens.length - 1;
      const each = <T>(make: (place: number, rank: number) => T) =>
        Array.from({ length: places * promptLogprobs }, (_, i) =>
          make(1 + Math.floor(i / promptLogprobs), i % promptLogprobs),
        );
      return {
        logprobs: Float32Array.from({ length: places }, (_, i) => -(i + 1)),
        topTokens: Int32Array.from(each((place, rank) => tokens[place]! + rank)),
        topLogprobs: Float32Array.from(each((place, rank) => -place - rank)),
      };
    };
    super({ next, slots, scorePrompt });
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

/** The tokens at which a text ends, in sampling and in training data. */

import { ConfigError } from "../errors.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** What is known of a model: the tokens with which its own files end a text. */
interface ModelEnds {
  readonly info: { readonly eosTokenIds: readonly number[] };
}

/**
 * The tokens that end a completion: the tokenizer's end of sequence, those that the model's files name, and the chat
 * template's end of a turn. A chat model ends its turn with one token and a text with another, and the tokenizer knows one
 * of them; a base model's files know nothing of the turns that it is trained on.
 *
 * @throws ConfigError where there is none: every completion would run to its length limit.
 */
export function stopTokens(model: ModelEnds, tokenizer: Tokenizer): readonly number[] {
  const turnEnd = tokenizer.turnEndTokens?.at(-1);
  const named = [...model.info.eosTokenIds, ...(turnEnd === undefined ? [] : [turnEnd])];
  if (tokenizer.eosTokenId === null) return named.length > 0 ? [...new Set(named)] : [endOfSequence(tokenizer)];
  return [...new Set([tokenizer.eosTokenId, ...named])];
}

/**
 * What ends an answer in training data: the end of sequence or, where the answer is a turn of a conversation, what the
 * chat template puts behind one. If a text already ends with it, it is not added again (`withEnd`).
 *
 * @throws ConfigError as `endOfSequence` does.
 */
function endOfAnswer(tokenizer: Tokenizer, isTurn: boolean): readonly number[] {
  const { turnEndTokens } = tokenizer;
  return isTurn && turnEndTokens !== undefined && turnEndTokens.length > 0
    ? [...turnEndTokens]
    : [endOfSequence(tokenizer)];
}

/** The tokens of an answer with its end, unless they end already, with that or with the end of sequence. */
export function withEnd(tokens: ArrayLike<number>, tokenizer: Tokenizer, isTurn: boolean): number[] {
  const end = endOfAnswer(tokenizer, isTurn);
  const own = Array.from(tokens);
  const last = own.at(-1);
  return last !== undefined && (last === end.at(-1) || last === tokenizer.eosTokenId) ? own : [...own, ...end];
}

/**
 * The token that ends a completion in training data.
 *
 * @throws ConfigError where the tokenizer has none: every completion would run to its length limit.
 */
export function endOfSequence(tokenizer: Tokenizer): number {
  if (tokenizer.eosTokenId !== null) return tokenizer.eosTokenId;
  throw new ConfigError(
    "The tokenizer has no end-of-sequence token, so no completion could end by itself. Give tokenizer_config.json an " +
      '"eos_token" that is in the vocabulary.',
  );
}

/** The tokens at which a text ends, in sampling and in training data. */

import { ConfigError } from "../errors.ts";
import type { Tokenizer } from "./tokenizer.ts";

/** What is known of a model: the tokens with which its own files end a text. */
interface ModelEnds {
  readonly info: { readonly eosTokenIds: readonly number[] };
}

/**
 * The tokens that end a completion: the tokenizer's end of sequence, and those that the model's files name. A chat model
 * ends its turn with one token and a text with another, and the tokenizer knows one of them.
 *
 * @throws ConfigError where there is none: every completion would run to its length limit.
 */
export function stopTokens(model: ModelEnds, tokenizer: Tokenizer): readonly number[] {
  const { eosTokenIds } = model.info;
  if (tokenizer.eosTokenId === null) return eosTokenIds.length > 0 ? eosTokenIds : [endOfSequence(tokenizer)];
  return [...new Set([tokenizer.eosTokenId, ...eosTokenIds])];
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

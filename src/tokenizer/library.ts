/**
 * What is used of Hugging Face's JavaScript package, with its types: its own declarations do not resolve under Node's
 * module resolution (0.2.0).
 */

import * as untyped from "@huggingface/tokenizers";

/** A tokenizer of the package. */
export interface Library {
  readonly model: ((pieces: readonly string[]) => readonly string[]) & {
    readonly vocab: readonly string[];
    readonly unk_token?: string | null;
  };
  /** Called for each text that is encoded; can be replaced. */
  encode_text: (text: string | null) => readonly string[] | null;
  encode(
    text: string,
    options: { add_special_tokens: boolean },
  ): { readonly ids: readonly (number | undefined)[]; readonly tokens: readonly string[] };
  decode(ids: number[], options: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
}

interface Package {
  readonly Tokenizer: new (tokenizer: unknown, config: unknown) => Library;
  readonly SequenceNormalizer: new (config: unknown) => { normalize(text: string): string };
  readonly SplitPreTokenizer: new (config: unknown) => { readonly pattern: RegExp | null };
}

export const { Tokenizer: LibraryTokenizer, SequenceNormalizer, SplitPreTokenizer } = untyped as unknown as Package;

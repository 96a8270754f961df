/**
 * A checkpoint's tokenizer with Aha's interface. The models (BPE, Unigram, WordPiece), post-processors and decoders are
 * those of Hugging Face's JavaScript package (`@huggingface/tokenizers`); added tokens, normalizers and pre-tokenizers
 * are ours (`added-tokens.ts`, `normalizers.ts`, `pre-tokenizers.ts`), where the package's tokens are others than those
 * of Python's.
 *
 * What else is added is what training needs and the package leaves out: checks on files that came from elsewhere, typed
 * errors, the character span of every token, and saving. Two defaults differ from the package's and follow
 * transformers 5 instead: decoded text is not "cleaned up" (` .` stays ` .`) unless the checkpoint asks for it and its
 * model is no BPE (Llama 3's files ask for it by mistake), and ids beyond the vocabulary, which a model with a padded
 * embedding can sample, decode to nothing.
 */

import { CheckpointError, DataError } from "../errors.ts";
import type { Folder } from "../folder.ts";
import { type AddedToken, AddedTokenMatcher } from "./added-tokens.ts";
import { ChatTemplates } from "./chat-template.ts";
import { composeText } from "./composed-text.ts";
import { hasMoreTokens, longestToken } from "./fewest-tokens.ts";
import { type Library, LibraryTokenizer } from "./library.ts";
import { createNormalizer } from "./normalizers.ts";
import { createPreTokenizer } from "./pre-tokenizers.ts";
import { tokenBytesBy } from "./token-bytes.ts";
import type { ChatTemplateOptions, Message, TokenFacts, Tokenizer } from "./tokenizer.ts";
import { type TokenizerChanges, withTokenizerChanges } from "./tokenizer-changes.ts";
import {
  allAddedTokens,
  namedTokenTexts,
  readTokenizerConfig,
  type TokenizerJson,
  templatesOf,
} from "./tokenizer-config.ts";
import { readTokenizerFiles, type TokenizerFiles, writeTokenizerFiles } from "./tokenizer-files.ts";

/** No character is split into more tokens than this: 4 bytes of UTF-8, with room to spare. */
const MOST_TOKENS_OF_A_CHARACTER = 16;

/**
 * The tokenizer in `folder`, with `changes` made to it.
 *
 * @throws CheckpointError where its files are missing, damaged or not supported, or lack the end token that is asked for.
 */
export async function readTokenizer(folder: Folder, changes: TokenizerChanges = {}): Promise<HuggingFaceTokenizer> {
  const files = await readTokenizerFiles(folder);
  return new HuggingFaceTokenizer(withTokenizerChanges(files, changes, folder.path), folder.path);
}

/** A tokenizer read from files; make one with `readTokenizer`. */
export class HuggingFaceTokenizer implements Tokenizer, TokenFacts {
  readonly vocabSize: number;
  readonly bosTokenId: number | null;
  readonly eosTokenId: number | null;
  readonly padTokenId: number | null;
  readonly hasChatTemplate: boolean;
  readonly #files: TokenizerFiles;
  readonly #library: Library;
  readonly #cleanUp: boolean;
  readonly #unknown: { readonly id: number; readonly text: string } | null;
  readonly #chatTemplates: ChatTemplates;
  readonly #specialIds: ReadonlySet<number>;
  readonly #tokenTexts = new Map<number, string>();
  readonly #addedTokens: ReadonlySet<number>;
  readonly #bytesOf: ((spelling: string) => Uint8Array) | undefined;
  readonly #longestToken: number | undefined;
  #turnEndTokens: Int32Array | undefined;

  /** `source` names the tokenizer in messages. Throws CheckpointError for files that are no tokenizer. */
  constructor(files: TokenizerFiles, source: string) {
    const { tokenizer, config } = readTokenizerConfig(files, source);
    const addedTokens = allAddedTokens(files, source);
    try {
      this.#library = createLibrary(tokenizer, config, addedTokens);
    } catch (error) {
      throw new CheckpointError(`${source}: this tokenizer is not supported: ${(error as Error).message}`);
    }
    this.#specialIds = new Set(addedTokens.filter(({ special }) => special).map(({ id }) => id));
    this.#files = files;
    this.#addedTokens = new Set(addedTokens.map(({ id }) => id));
    this.#bytesOf = tokenBytesBy(tokenizer.decoder);
    this.#longestToken = longestToken(tokenizer, this.#library.model.vocab);
    const isBpe = (tokenizer.model.type ?? "BPE") === "BPE";
    this.#cleanUp =
      (config.clean_up_tokenization_spaces ?? false) &&
      (!isBpe || (config.clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output ?? false));
    this.vocabSize = this.#library.model.vocab.length;

    const specialTokens = namedTokenTexts(config);
    const idOf = (name: string): number | null => {
      const text = specialTokens[name];
      if (text === undefined) return null;
      const id = this.#library.token_to_id(text);
      if (id !== undefined) return id;
      throw new CheckpointError(`${source}: ${name} is ${JSON.stringify(text)}, which is not in tokenizer.json.`);
    };
    this.bosTokenId = idOf("bos_token");
    this.eosTokenId = idOf("eos_token");
    this.padTokenId = idOf("pad_token");
    const unknownText = this.#library.model.unk_token;
    const unknownId = typeof unknownText === "string" ? this.#library.token_to_id(unknownText) : undefined;
    this.#unknown = unknownId === undefined ? null : { id: unknownId, text: unknownText as string };
    this.#chatTemplates = new ChatTemplates(templatesOf(files, config, source), specialTokens);
    this.hasChatTemplate = this.#chatTemplates.names.length > 0;
  }

  encode(text: string, options: { addSpecial?: boolean } = {}): Int32Array {
    const { ids, tokens } = this.#library.encode(text, { add_special_tokens: options.addSpecial ?? false });
    const lost = ids.indexOf(undefined);
    if (lost >= 0) {
      throw new DataError(`The tokenizer has no id for ${JSON.stringify(tokens[lost])} and no token for unknown text.`);
    }
    return Int32Array.from(ids as readonly number[]);
  }

  decode(tokens: ArrayLike<number>, options: { keepSpecial?: boolean } = {}): string {
    const known = Array.from(tokens).filter((id) => this.#library.id_to_token(id) !== undefined);
    if (known.length === 0) return "";
    return this.#library.decode(known, {
      skip_special_tokens: !(options.keepSpecial ?? false),
      clean_up_tokenization_spaces: this.#cleanUp,
    });
  }

  tokenBytes(token: number): Uint8Array {
    const spelling = this.#library.id_to_token(token);
    if (spelling === undefined) return new Uint8Array(0);
    if (this.#bytesOf && !this.#addedTokens.has(token)) return this.#bytesOf(spelling);
    return new TextEncoder().encode(this.#bytesOf ? spelling : this.decode([token], { keepSpecial: true }));
  }

  spelling(token: number): string | undefined {
    return this.#library.id_to_token(token);
  }

  hasMoreTokens(text: string, most: number): boolean {
    return this.#longestToken !== undefined && hasMoreTokens(text, most, this.#longestToken);
  }

  /** The files that it was read from. */
  get files(): TokenizerFiles {
    return this.#files;
  }

  /** A token's text on its own; in many tokenizers a text is the texts of its tokens one after another. */
  #textOf(token: number): string {
    let text = this.#tokenTexts.get(token);
    if (text === undefined) {
      text = this.decode([token], { keepSpecial: true });
      this.#tokenTexts.set(token, text);
    }
    return text;
  }

  /**
   * Spans come from decoding: a token's text is what it adds to the text of the tokens before it. Tokens that split one
   * character (byte-level BPE on emoji) each get the span of the whole character; an unknown token stands for one code
   * point; where the tokenizer composes characters first (NFC), a token gets those that its own came from. Throws
   * DataError where the tokenizer changes the text otherwise (lower case), so that its tokens have no place in it.
   */
  tokenSpans(text: string): { tokens: Int32Array; spans: (readonly [number, number])[] } {
    const composed = composeText(text);
    if (composed !== undefined && this.#composes()) {
      const { tokens, spans } = this.#plainSpans(composed.text);
      return { tokens, spans: spans.map(([start, end]) => composed.originalSpan(start, end)) };
    }
    return this.#plainSpans(text);
  }

  /** Whether e + ◌́ is the same to the tokenizer as é. */
  #composes(): boolean {
    return this.encode("e\u0301").join() === this.encode("\u00e9").join();
  }

  #plainSpans(text: string): { tokens: Int32Array; spans: (readonly [number, number])[] } {
    const tokens = this.encode(text);
    const texts = Array.from(tokens, (token) => this.#textOf(token));
    if (texts.join("") === text) return { tokens, spans: consecutiveSpans(texts) };
    const spans: (readonly [number, number])[] = [];
    let position = 0;
    // Decoders treat the first token apart (SentencePiece strips its space), so one group back is always decoded along.
    let before: number[] = [];
    let group: number[] = [];
    for (const token of tokens) {
      group.push(token);
      const length = this.#matchLength(text, position, before, group);
      if (length === undefined) {
        if (group.length >= MOST_TOKENS_OF_A_CHARACTER) break;
        continue;
      }
      const span = [position, position + length] as const;
      for (let i = 0; i < group.length; i++) spans.push(span);
      position += length;
      before = group;
      group = [];
    }
    if (group.length > 0 || position !== text.length) {
      throw new DataError(
        "The tokenizer changes this text, so its tokens have no character spans in it; it parts from " +
          `${JSON.stringify(text.slice(position, position + 40))} at character ${position}.`,
      );
    }
    return { tokens, spans };
  }

  applyChatTemplate(messages: readonly Message[], options: ChatTemplateOptions = {}): string {
    if (!this.hasChatTemplate) {
      throw new DataError(
        "This tokenizer has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json). Use a " +
          "plain-text prompt, or a checkpoint that has one.",
      );
    }
    return this.#chatTemplates.render(messages, options);
  }

  /** See `Tokenizer.turnEndTokens`; found by rendering a conversation, once. */
  get turnEndTokens(): Int32Array {
    this.#turnEndTokens ??= this.#findTurnEnd();
    return this.#turnEndTokens;
  }

  #findTurnEnd(): Int32Array {
    const none = new Int32Array();
    if (!this.hasChatTemplate) return none;
    const answer = "Yes.";
    const messages = [
      { role: "user", content: "Is it?" },
      { role: "assistant", content: answer },
    ];
    // The day makes no difference to how a message ends.
    const options = { now: new Date(0) };
    let end: string;
    try {
      const open = this.#chatTemplates.render(messages, { ...options, continueFinalMessage: true });
      const closed = this.#chatTemplates.render(messages, options);
      if (!closed.startsWith(open)) return none;
      end = closed.slice(open.length).trimEnd();
    } catch (error) {
      // A template that refuses this conversation; the error comes when a conversation is rendered with it.
      if (error instanceof DataError || error instanceof CheckpointError) return none;
      throw error;
    }
    const before = this.encode(answer);
    const tokens = this.encode(answer + end).slice(before.length);
    const last = tokens.at(-1);
    return last !== undefined && (this.#specialIds.has(last) || last === this.eosTokenId) ? tokens : none;
  }

  save(folder: Folder): Promise<void> {
    return writeTokenizerFiles(folder, this.#files);
  }

  /** Characters of `text` at `position` that `group` stands for; undefined where it ends inside a character. */
  #matchLength(
    text: string,
    position: number,
    before: readonly number[],
    group: readonly number[],
  ): number | undefined {
    const unknown = this.#unknown;
    if (unknown !== null && group.length === 1 && group[0] === unknown.id && !text.startsWith(unknown.text, position)) {
      const codePoint = text.codePointAt(position);
      return codePoint === undefined ? undefined : String.fromCodePoint(codePoint).length;
    }
    const prefix = this.decode(before, { keepSpecial: true });
    const piece = this.decode([...before, ...group], { keepSpecial: true }).slice(prefix.length);
    if (text.startsWith(piece, position)) return piece.length;
    // SentencePiece puts a space before each stretch of text, also one that the text does not have.
    const inserted = piece.startsWith(" ") && text.startsWith(piece.slice(1), position);
    return inserted ? piece.length - 1 : undefined;
  }
}

/** The span of each of these texts in all of them joined. */
function consecutiveSpans(texts: readonly string[]): (readonly [number, number])[] {
  let end = 0;
  return texts.map((text) => {
    const start = end;
    end += text.length;
    return [start, end] as const;
  });
}

/** The package's tokenizer with our added tokens, normalizer and pre-tokenizer. Throws Error for what is not supported. */
function createLibrary(
  tokenizer: TokenizerJson,
  config: Readonly<Record<string, unknown>>,
  addedTokens: readonly AddedToken[],
): Library {
  const normalize = createNormalizer(tokenizer.normalizer);
  const preTokenize = createPreTokenizer(tokenizer.pre_tokenizer);
  // The package does not build the parts that Aha implements, because it refuses kinds that it does not have.
  const given = { ...tokenizer, added_tokens: addedTokens, normalizer: null, pre_tokenizer: null };
  const library = new LibraryTokenizer(given, config);
  const raw = new AddedTokenMatcher(
    addedTokens.filter(({ normalized }) => !normalized),
    ({ content }) => content,
  );
  const inNormalized = new AddedTokenMatcher(
    addedTokens.filter(({ normalized }) => normalized),
    ({ content }) => normalize?.(content) ?? content,
  );
  library.encode_text = (text) =>
    text === null
      ? null
      : raw.split(text).flatMap((section) => {
          if ("token" in section) return [section.token.content];
          const normalized = normalize?.(section.text) ?? section.text;
          return inNormalized.split(normalized).flatMap((inner) => {
            if ("token" in inner) return [inner.token.content];
            const pieces = preTokenize({ text: inner.text, isFirst: section.start === 0 && inner.start === 0 });
            return library.model(pieces.map((piece) => piece.text));
          });
        });
  return library;
}

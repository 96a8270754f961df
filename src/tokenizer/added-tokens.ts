/**
 * Added tokens: texts that are one token wherever they stand, before anything else is done to a text.
 *
 * Most stand in tokenizer.json. Older checkpoints, and tokenizers that were extended, name some elsewhere:
 * `added_tokens_decoder` and `extra_special_tokens` (once `additional_special_tokens`) of tokenizer_config.json, or
 * added_tokens.json. transformers adds them when it loads the tokenizer, in this order and with these ids, and so does Aha.
 *
 * They are found as the Rust package `tokenizers` does (`AddedVocabulary`): those that are not normalised first, in the
 * text as it stands, then the others in what normalisation made of the rest; the longest one at the leftmost place; whole
 * words where `single_word` says so, with the white space around them where `lstrip` and `rstrip` do.
 */

/** An added token, with tokenizer.json's names of its properties. */
export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
}

/** An added token as files spell it: a text, or a text with properties. */
export type GivenToken =
  | string
  | ({ readonly content: string } & Readonly<Partial<Omit<AddedToken, "id" | "content">>>);

/** Where files beside tokenizer.json name added tokens. */
export interface TokenSources {
  /** Of tokenizer_config.json: tokens by id. Where it is there, added_tokens.json is not read. */
  readonly decoder?: Readonly<Record<string, GivenToken>> | undefined;
  /** added_tokens.json: ids by text. */
  readonly addedTokens?: Readonly<Record<string, number>> | undefined;
  /** Special tokens that have a name of their own, such as `eos_token` and `image_token`. */
  readonly named: readonly GivenToken[];
  /** `extra_special_tokens`, once `additional_special_tokens`. */
  readonly extra: readonly GivenToken[];
}

/**
 * All added tokens: tokenizer.json's, with the properties that other files give them, and those that only others name. An
 * id is that of the model's vocabulary where the text is in it, else the next free one, whatever a file says of it.
 */
export function completeAddedTokens(
  own: readonly AddedToken[],
  vocabulary: ReadonlyMap<string, number>,
  sources: TokenSources,
): AddedToken[] {
  const tokens = new Map(own.map((token) => [token.content, token]));
  const add = (token: Omit<AddedToken, "id">): void => {
    if (token.content === "") return;
    const id =
      tokens.get(token.content)?.id ?? vocabulary.get(token.content) ?? nextId(tokens.values(), vocabulary.size);
    tokens.set(token.content, { ...token, id });
  };
  for (const token of configuredTokens(own, sources)) add(token);
  for (const token of [...sources.named, ...sources.extra]) {
    const read = readToken(token, true);
    if (!tokens.has(read.content)) add({ ...read, special: true });
  }
  return [...tokens.values()];
}

/** The tokens of `added_tokens_decoder` or, where there is none, of added_tokens.json, in the order of their ids. */
function configuredTokens(own: readonly AddedToken[], { decoder, addedTokens, named, extra }: TokenSources) {
  if (decoder !== undefined) {
    const byId = Object.entries(decoder).sort(([a], [b]) => Number(a) - Number(b));
    return byId.map(([, token]) => readToken(token, false));
  }
  const special = new Set([...named, ...extra].map((token) => readToken(token, true).content));
  const ownIds = new Set(own.map(({ id }) => id));
  const others = Object.entries(addedTokens ?? {}).filter(([, id]) => !ownIds.has(id));
  return others.sort(([, a], [, b]) => a - b).map(([content]) => readToken(content, special.has(content)));
}

/** A token as a file spells it, with the properties that Python's `AddedToken` gives where none are said. */
export function readToken(given: GivenToken, special: boolean): Omit<AddedToken, "id"> {
  const token = typeof given === "string" ? { content: given, special } : { special, ...given };
  return {
    content: token.content,
    special: token.special,
    single_word: token.single_word ?? false,
    lstrip: token.lstrip ?? false,
    rstrip: token.rstrip ?? false,
    normalized: token.normalized ?? !token.special,
  };
}

/** The id of a token that is in no vocabulary, as the Rust package numbers them. */
function nextId(tokens: Iterable<AddedToken>, vocabularySize: number): number {
  const largest = Math.max(-1, ...Array.from(tokens, ({ id }) => id));
  return Math.max(largest + 1, vocabularySize);
}

/** A stretch of text, or the added token that stands there. */
export type Section = { readonly text: string; readonly start: number } | { readonly token: AddedToken };

/** What `\w` is to Rust, as the inside of a character class; `\s` is White_Space. */
export const WORD_CHARACTERS = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}";
const ENDS_WITH_WORD = new RegExp(`[${WORD_CHARACTERS}]$`, "u");
const STARTS_WITH_WORD = new RegExp(`^[${WORD_CHARACTERS}]`, "u");
const SPACE = /^\p{White_Space}$/u;

interface Node {
  readonly next: Map<string, Node>;
  token?: AddedToken;
}

/** Finds added tokens in texts. */
export class AddedTokenMatcher {
  readonly #root: Node = { next: new Map() };

  /** `textOf` is what a token is found by: its content, or what normalisation makes of it. */
  constructor(tokens: readonly AddedToken[], textOf: (token: AddedToken) => string) {
    for (const token of tokens) {
      let node = this.#root;
      for (const unit of textOf(token).split("")) {
        let next = node.next.get(unit);
        if (next === undefined) {
          next = { next: new Map() };
          node.next.set(unit, next);
        }
        node = next;
      }
      if (node !== this.#root) node.token = token;
    }
  }

  /** The text cut at its added tokens; stretches of it that are empty are left out. */
  split(text: string): Section[] {
    if (this.#root.next.size === 0) return text === "" ? [] : [{ text, start: 0 }];
    const sections: Section[] = [];
    let done = 0;
    for (let at = 0; at < text.length; ) {
      const match = this.#matchAt(text, at);
      if (match === undefined) {
        at++;
        continue;
      }
      const { token, end } = match;
      const wordEnds = ENDS_WITH_WORD.test(lastCharacter(text, at)) || STARTS_WITH_WORD.test(nextCharacter(text, end));
      if (!token.single_word || !wordEnds) {
        const from = token.lstrip ? Math.max(done, spaceBefore(text, at)) : at;
        if (from > done) sections.push({ text: text.slice(done, from), start: done });
        sections.push({ token });
        done = token.rstrip ? spaceAfter(text, end) : end;
      }
      at = Math.max(end, done);
    }
    if (done < text.length) sections.push({ text: text.slice(done), start: done });
    return sections;
  }

  /** The longest token that begins at a place. */
  #matchAt(text: string, at: number): { readonly token: AddedToken; readonly end: number } | undefined {
    let found: { readonly token: AddedToken; readonly end: number } | undefined;
    let node: Node | undefined = this.#root;
    for (let end = at; end < text.length; ) {
      node = node.next.get(text[end]!);
      if (node === undefined) break;
      end++;
      if (node.token !== undefined) found = { token: node.token, end };
    }
    return found;
  }
}

function lastCharacter(text: string, end: number): string {
  return end === 0 ? "" : String.fromCodePoint(text.codePointAt(isLowSurrogate(text, end - 1) ? end - 2 : end - 1)!);
}

function nextCharacter(text: string, start: number): string {
  const codePoint = text.codePointAt(start);
  return codePoint === undefined ? "" : String.fromCodePoint(codePoint);
}

function isLowSurrogate(text: string, at: number): boolean {
  return at > 0 && /[\udc00-\udfff]/.test(text[at]!);
}

function spaceBefore(text: string, end: number): number {
  let start = end;
  while (start > 0 && SPACE.test(text[start - 1]!)) start--;
  return start;
}

function spaceAfter(text: string, start: number): number {
  let end = start;
  while (end < text.length && SPACE.test(text[end]!)) end++;
  return end;
}

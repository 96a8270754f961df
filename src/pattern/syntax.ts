/**
 * A regular expression as a tree. The syntax is JavaScript's with the flag u, less what no matcher can do in linear time:
 * back references and look-around are refused by name.
 */

import { ConfigError } from "../errors.ts";

export type AssertionKind = "start" | "end" | "wordBoundary" | "noWordBoundary";

/** A node of the tree. */
export type PatternNode =
  | { readonly kind: "set"; readonly test: (codePoint: number) => boolean }
  | { readonly kind: "assertion"; readonly assertion: AssertionKind }
  | { readonly kind: "sequence"; readonly parts: readonly PatternNode[] }
  | { readonly kind: "choice"; readonly options: readonly PatternNode[] }
  | { readonly kind: "repeat"; readonly body: PatternNode; readonly min: number; readonly max: number };

/** Which flags of JavaScript's are on. */
export interface PatternFlags {
  readonly ignoreCase: boolean;
  readonly multiline: boolean;
  readonly dotAll: boolean;
}

/** Groups within groups: the parser calls itself for each. */
const MAX_DEPTH = 200;
/** Bound of `{n,m}`, as copies of the body are made. */
const MAX_REPEATS = 1000;

/** The flags in a text such as `is`. Throws ConfigError for others than i, m, s and u. */
export function parseFlags(text: string): PatternFlags {
  const unknown = [...text].find((flag, i) => !"imsu".includes(flag) || text.indexOf(flag) !== i);
  if (unknown !== undefined) {
    throw new ConfigError(`flags: expected some of i, m, s and u, each once, got ${JSON.stringify(text)}.`);
  }
  return { ignoreCase: text.includes("i"), multiline: text.includes("m"), dotAll: text.includes("s") };
}

/** The tree of a pattern. Throws ConfigError where it is not in the syntax, saying what and where. */
export function parsePattern(pattern: string, flags: PatternFlags): PatternNode {
  try {
    // The engine's own parser finds every mistake of syntax, in words that users know. Nothing is matched by it.
    new RegExp(pattern, "u");
  } catch (error) {
    throw new ConfigError(`${error instanceof Error ? error.message : String(error)}.`);
  }
  return new Parser(pattern, flags).parse();
}

class Parser {
  readonly #text: string;
  readonly #flags: PatternFlags;
  #at = 0;
  #depth = 0;

  constructor(text: string, flags: PatternFlags) {
    this.#text = text;
    this.#flags = flags;
  }

  parse(): PatternNode {
    return this.#choice();
  }

  #choice(): PatternNode {
    if (++this.#depth > MAX_DEPTH) throw this.#refusal(`groups within groups, more than ${MAX_DEPTH} deep`);
    const options = [this.#sequence()];
    while (this.#take("|")) options.push(this.#sequence());
    this.#depth--;
    return options.length === 1 ? options[0]! : { kind: "choice", options };
  }

  #sequence(): PatternNode {
    const parts: PatternNode[] = [];
    while (this.#at < this.#text.length && !"|)".includes(this.#text[this.#at]!)) parts.push(this.#repeated());
    return { kind: "sequence", parts };
  }

  #repeated(): PatternNode {
    const body = this.#atom();
    const quantifier = /^(?:([*+?])|\{(\d+)(,?)(\d*)\})\??/.exec(this.#text.slice(this.#at, this.#at + 40));
    if (quantifier === null) return body;
    this.#at += quantifier[0].length;
    const [, sign, least, comma, most] = quantifier;
    if (sign !== undefined)
      return { kind: "repeat", body, min: sign === "+" ? 1 : 0, max: sign === "?" ? 1 : Infinity };
    const min = Number(least);
    const max = comma === "" ? min : most === "" ? Infinity : Number(most);
    const largest = max === Infinity ? min : max;
    if (largest > MAX_REPEATS) throw this.#refusal(`more than ${MAX_REPEATS} repetitions`);
    return { kind: "repeat", body, min, max };
  }

  #atom(): PatternNode {
    if (this.#take("(")) return this.#group();
    if (this.#take("^")) return { kind: "assertion", assertion: "start" };
    if (this.#take("$")) return { kind: "assertion", assertion: "end" };
    if (this.#take("\\b")) return { kind: "assertion", assertion: "wordBoundary" };
    if (this.#take("\\B")) return { kind: "assertion", assertion: "noWordBoundary" };
    const from = this.#at;
    if (this.#text[from] === "[") this.#skipClass();
    else if (this.#text[from] === "\\") this.#skipEscape();
    else this.#at += this.#text.codePointAt(from)! > 0xffff ? 2 : 1;
    return this.#set(this.#text.slice(from, this.#at));
  }

  #group(): PatternNode {
    for (const prefix of ["?=", "?!", "?<=", "?<!"]) {
      if (this.#text.startsWith(prefix, this.#at)) throw this.#refusal("look-around");
    }
    if (this.#take("?<")) this.#at = this.#text.indexOf(">", this.#at) + 1;
    else if (this.#take("?") && !this.#take(":")) throw this.#refusal("flags inside the pattern");
    const inner = this.#choice();
    this.#take(")");
    return inner;
  }

  #skipClass(): void {
    while (this.#text[++this.#at] !== "]") if (this.#text[this.#at] === "\\") this.#at++;
    this.#at++;
  }

  #skipEscape(): void {
    const rest = this.#text.slice(this.#at, this.#at + 200);
    if (/^\\(?:[1-9]|k<)/.test(rest)) throw this.#refusal("back references");
    const found =
      /^\\(?:u\{[0-9a-f]+\}|ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|u[0-9a-f]{4}|x[0-9a-f]{2}|[pP]\{[^}]*\}|c.|.)/isu.exec(
        rest,
      )!;
    this.#at += found[0].length;
  }

  /**
   * One character's test. The engine's own matcher decides for a single character, which it does at once: so escapes,
   * classes, properties and case mean what they mean in JavaScript.
   */
  #set(source: string): PatternNode {
    const flags = `u${this.#flags.ignoreCase ? "i" : ""}${this.#flags.dotAll ? "s" : ""}`;
    const matcher = new RegExp(`^(?:${source})$`, flags);
    const known = new Map<number, boolean>();
    const test = (codePoint: number) => {
      const before = known.get(codePoint);
      if (before !== undefined) return before;
      const matches = matcher.test(String.fromCodePoint(codePoint));
      known.set(codePoint, matches);
      return matches;
    };
    return { kind: "set", test };
  }

  #take(token: string): boolean {
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    return true;
  }

  #refusal(what: string): ConfigError {
    return new ConfigError(
      `has ${what} at character ${this.#at + 1}, which cannot be matched in linear time: write the pattern without.`,
    );
  }
}

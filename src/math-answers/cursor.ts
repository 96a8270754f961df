/** A walk along the signs of a formula: what comes next, and what has been taken. */

import { ParseFault } from "./signs.ts";
import type { AnswerToken } from "./tokens.ts";

/** A position among signs. */
export class Cursor {
  readonly #tokens: readonly AnswerToken[];
  #at = 0;
  /** The digits of a numeral that an argument without braces has left over. */
  #rest: AnswerToken | undefined;

  constructor(tokens: readonly AnswerToken[]) {
    this.#tokens = tokens;
  }

  /** The sign that is `ahead` signs after the next one. */
  peek(ahead = 0): AnswerToken | undefined {
    if (this.#rest) return ahead === 0 ? this.#rest : this.#tokens[this.#at + ahead - 1];
    return this.#tokens[this.#at + ahead];
  }

  /** Takes the next sign. @throws ParseFault at the end */
  next(): AnswerToken {
    const token = this.peek();
    if (!token) throw new ParseFault("it ends too early");
    if (this.#rest) this.#rest = undefined;
    else this.#at++;
    return token;
  }

  /** Takes the first digit of the numeral that comes next; the others come next then. */
  firstDigit(): string {
    const token = this.next();
    if (token.text.length > 1) this.#rest = { ...token, text: token.text.slice(1), spaced: false };
    return token.text[0]!;
  }

  /** Whether this sign comes, `ahead` signs after the next one. */
  is(text: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token?.type === "sign" && token.text === text;
  }

  /** Takes this sign if it comes next. */
  take(text: string): boolean {
    if (!this.is(text)) return false;
    this.next();
    return true;
  }

  /** Takes this sign. @throws ParseFault if another one comes next */
  expect(text: string): void {
    if (!this.take(text)) throw new ParseFault(`${JSON.stringify(text)} is missing`);
  }
}

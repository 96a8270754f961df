/** The tokens of a template as a parser takes them. */

import { TemplateSyntaxError } from "./errors.ts";
import type { TemplateToken, TemplateTokenType } from "./lexer.ts";

export class TokenStream {
  readonly #tokens: readonly TemplateToken[];
  #index = 0;

  constructor(tokens: readonly TemplateToken[]) {
    this.#tokens = tokens;
  }

  get current(): TemplateToken {
    return this.#tokens[this.#index]!;
  }

  get following(): TemplateToken {
    return this.#tokens[this.#index + 1] ?? this.current;
  }

  /** The current token; the next one is current then. */
  next(): TemplateToken {
    const token = this.current;
    if (this.#index < this.#tokens.length - 1) this.#index++;
    return token;
  }

  is(type: TemplateTokenType, text?: string): boolean {
    return this.current.type === type && (text === undefined || this.current.text === text);
  }

  isName(...names: readonly string[]): boolean {
    return this.current.type === "name" && names.includes(this.current.text);
  }

  isOperator(...operators: readonly string[]): boolean {
    return this.current.type === "operator" && operators.includes(this.current.text);
  }

  /** Whether the current token was this one; it is taken then. */
  skip(type: TemplateTokenType, text: string): boolean {
    if (!this.is(type, text)) return false;
    this.next();
    return true;
  }

  expect(type: TemplateTokenType, text?: string): TemplateToken {
    if (this.is(type, text)) return this.next();
    throw this.fail(`expected ${text ?? describeType(type)}, got ${this.describe()}`);
  }

  describe(): string {
    const { type, text } = this.current;
    return type === "name" || type === "operator" ? `'${text}'` : describeType(type);
  }

  fail(message: string, line = this.current.line): TemplateSyntaxError {
    return new TemplateSyntaxError(`${message} (line ${line})`);
  }
}

function describeType(type: TemplateTokenType): string {
  const names: Readonly<Partial<Record<TemplateTokenType, string>>> = {
    end: "the end of the template",
    endBlock: "the end of the statement",
    endPrint: "the end of the expression",
    data: "text",
  };
  return names[type] ?? `a ${type}`;
}

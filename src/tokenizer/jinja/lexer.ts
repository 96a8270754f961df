/**
 * Cuts a template into tokens as Jinja2's lexer does with transformers' settings: line ends become `\n`, one at the very
 * end is dropped, a line end after a block or comment goes (`trim_blocks`), and so do the spaces of a line before one
 * (`lstrip_blocks`), unless `+` keeps them; `-` takes all white space on its side.
 */

import { TemplateSyntaxError } from "./errors.ts";
import { isSpace, SPACE, stripEnd } from "./text.ts";

export type TemplateTokenType =
  | "data"
  | "block"
  | "endBlock"
  | "print"
  | "endPrint"
  | "name"
  | "string"
  | "number"
  | "operator"
  | "end";

export interface TemplateToken {
  readonly type: TemplateTokenType;
  /** Its text; the string that a literal stands for. */
  readonly text: string;
  /** The value of a number literal. */
  readonly number?: bigint | number;
  readonly line: number;
}

const FLOAT = /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy;
const INTEGER = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const NAME = /[\p{ID_Continue}_]+/uy;
const STRING = /'([^'\\]*(?:\\.[^'\\]*)*)'|"([^"\\]*(?:\\.[^"\\]*)*)"/sy;
const OPERATOR = /\/\/|\*\*|==|!=|>=|<=|[-+/*%~[\](){}><=.:|,;]/y;
const WHITE_SPACE = new RegExp(`[${SPACE}]+`, "y");
const RAW_BEGIN = new RegExp(`\\{%([-+]?)[${SPACE}]*raw[${SPACE}]*(?:-%\\}[${SPACE}]*|%\\})`, "y");
const RAW_END = new RegExp(`\\{%([-+]?)[${SPACE}]*endraw[${SPACE}]*(?:\\+%\\}|-%\\}[${SPACE}]*|%\\}\\n?)`, "g");
const COMMENT_END = new RegExp(`\\+#\\}|-#\\}[${SPACE}]*|#\\}\\n?`, "g");
const BLOCK_END = new RegExp(`\\+%\\}|-%\\}[${SPACE}]*|%\\}\\n?`, "y");
const PRINT_END = new RegExp(`-\\}\\}[${SPACE}]*|\\}\\}`, "y");
const CLOSING: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

/** The template's tokens, the last of type `end`. Throws TemplateSyntaxError. */
export function tokenizeTemplate(template: string): TemplateToken[] {
  return new Lexer(template).run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: TemplateToken[] = [];
  #position = 0;
  #line = 1;
  /** Whether what was read last ends with a line end, or nothing was read yet. */
  #atLineStart = true;

  constructor(template: string) {
    const source = template.replace(/\r\n?/g, "\n");
    this.#source = source.endsWith("\n") ? source.slice(0, -1) : source;
  }

  run(): TemplateToken[] {
    while (this.#position < this.#source.length) this.#readText();
    this.#push("end", "");
    return this.#tokens;
  }

  /** Template text up to the next tag, and that tag. */
  #readText(): void {
    const open = this.#nextTag();
    if (open < 0) {
      this.#push("data", this.#source.slice(this.#position));
      this.#moveTo(this.#source.length);
      return;
    }
    const kind = this.#source[open + 1];
    RAW_BEGIN.lastIndex = open;
    const raw = kind === "%" ? RAW_BEGIN.exec(this.#source) : null;
    const sign = raw?.[1] ?? (/[-+]/.exec(this.#source[open + 2] ?? "")?.[0] || "");
    const text = this.#source.slice(this.#position, open);
    const isPrint = kind === "{";
    this.#pushData(this.#stripBefore(text, sign, !isPrint));
    if (raw) {
      this.#moveTo(open + raw[0].length);
      this.#readRaw();
      return;
    }
    this.#moveTo(open + 2 + sign.length);
    if (kind === "#") this.#readComment();
    else this.#readTag(isPrint);
  }

  #nextTag(): number {
    for (let at = this.#source.indexOf("{", this.#position); at >= 0; at = this.#source.indexOf("{", at + 1)) {
      const next = this.#source[at + 1];
      if (next === "%" || next === "{" || next === "#") return at;
    }
    return -1;
  }

  /** The text before a tag without what the tag's sign, or `lstrip_blocks`, takes. */
  #stripBefore(text: string, sign: string, strips: boolean): string {
    if (sign === "-") return stripEnd(text);
    if (sign === "+" || !strips) return text;
    const lineStart = text.lastIndexOf("\n") + 1;
    const startsLine = lineStart > 0 || this.#atLineStart;
    return startsLine && isSpace(text.slice(lineStart)) ? text.slice(0, lineStart) : text;
  }

  #readRaw(): void {
    RAW_END.lastIndex = this.#position;
    const end = RAW_END.exec(this.#source);
    if (end === null) throw this.#fail("Missing end of raw directive");
    // What came before the raw block is not what its text begins on, unless that ended a line.
    this.#pushData(this.#stripBefore(this.#source.slice(this.#position, end.index), end[1]!, true));
    this.#moveTo(end.index + end[0].length);
  }

  #readComment(): void {
    COMMENT_END.lastIndex = this.#position;
    const end = COMMENT_END.exec(this.#source);
    if (end === null) throw this.#fail("Missing end of comment tag");
    this.#moveTo(end.index + end[0].length);
  }

  #readTag(isPrint: boolean): void {
    this.#push(isPrint ? "print" : "block", "");
    const endPattern = isPrint ? PRINT_END : BLOCK_END;
    const open: string[] = [];
    for (;;) {
      const end = open.length === 0 ? this.#match(endPattern) : undefined;
      if (end !== undefined) {
        this.#push(isPrint ? "endPrint" : "endBlock", "");
        this.#moveTo(this.#position + end.length);
        return;
      }
      if (this.#position >= this.#source.length) return;
      this.#readToken(open);
    }
  }

  #readToken(open: string[]): void {
    const space = this.#match(WHITE_SPACE);
    const number = this.#match(FLOAT) ?? this.#match(INTEGER);
    const name = this.#match(NAME);
    const literal = this.#match(STRING);
    if (space !== undefined) this.#moveTo(this.#position + space.length);
    else if (number !== undefined) this.#take("number", number, numberOf(number));
    else if (name !== undefined) {
      if (!/^[\p{ID_Start}_]/u.test(name)) throw this.#fail("Invalid character in identifier");
      this.#take("name", name);
    } else if (literal !== undefined) {
      this.#push(
        "string",
        unescapeLiteral(literal.slice(1, -1), (message) => this.#fail(message)),
      );
      this.#moveTo(this.#position + literal.length);
    } else this.#readOperator(open);
  }

  /** An operator; `open` are the brackets that must be closed before the tag can end. */
  #readOperator(open: string[]): void {
    const operator = this.#match(OPERATOR);
    if (operator === undefined) {
      throw this.#fail(`unexpected char ${JSON.stringify(this.#source[this.#position])}`);
    }
    if (operator in CLOSING) open.push(CLOSING[operator]!);
    else if (/[)\]}]/.test(operator)) {
      const expected = open.pop();
      if (expected !== operator) {
        throw this.#fail(`unexpected '${operator}'${expected === undefined ? "" : `, expected '${expected}'`}`);
      }
    }
    this.#take("operator", operator);
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#position;
    return pattern.exec(this.#source)?.[0];
  }

  #take(type: TemplateTokenType, text: string, number?: bigint | number): void {
    this.#push(type, text, number);
    this.#moveTo(this.#position + text.length);
  }

  #push(type: TemplateTokenType, text: string, number?: bigint | number): void {
    this.#tokens.push({ type, text, line: this.#line, ...(number !== undefined && { number }) });
  }

  #pushData(text: string): void {
    if (text !== "") this.#push("data", text);
  }

  #moveTo(position: number): void {
    for (let at = this.#source.indexOf("\n", this.#position); at >= 0 && at < position; ) {
      this.#line++;
      at = this.#source.indexOf("\n", at + 1);
    }
    this.#position = position;
    this.#atLineStart = this.#source[position - 1] === "\n";
  }

  #fail(message: string): TemplateSyntaxError {
    return new TemplateSyntaxError(`${message} (line ${this.#line})`);
  }
}

function numberOf(text: string): bigint | number {
  const digits = text.replaceAll("_", "");
  if (/^0[xob]/i.test(digits)) return BigInt(digits.toLowerCase());
  return /[.e]/i.test(digits) ? Number(digits) : BigInt(digits);
}

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {
  "\n": "",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};
const HEX_ESCAPES: Readonly<Record<string, number>> = { x: 2, u: 4, U: 8 };

/** The inside of a string literal by Python's escapes; one that is unknown stays as it is written. */
function unescapeLiteral(body: string, fail: (message: string) => Error): string {
  return body.replace(
    /\\(?:([0-7]{1,3})|([xuU])([\da-fA-F]*)|(N)|(.))/gs,
    (whole, octal, hexKind, hex, named, simple) => {
      if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8));
      if (hexKind !== undefined) {
        const width = HEX_ESCAPES[hexKind]!;
        const codePoint = Number.parseInt(hex.slice(0, width), 16);
        if (hex.length < width || codePoint > 0x10ffff)
          throw fail(`truncated or illegal \\${hexKind} escape in a string`);
        return String.fromCodePoint(codePoint) + hex.slice(width);
      }
      if (named !== undefined) throw fail("\\N escapes, names of characters, are not supported in strings");
      return SIMPLE_ESCAPES[simple] ?? whole;
    },
  );
}

/**
 * The formula parser: signs (`tokens.ts`) to an expression tree. Precedence climbing, LaTeX and plain notation in one
 * grammar; depth is limited, so no input overflows the stack, and every sign is taken once.
 *
 * Where notation is ambiguous it reads as the field's answers mean it: `3\frac{1}{2}` and `3 1/2` are mixed numbers,
 * `2^10` is a power of ten's two digits, `\frac12` a half, `sin 2x` the sine of 2x, `1/2x` is (1/2)·x; `e` and `i` are the
 * constants.
 */

import { Cursor } from "./cursor.ts";
import { isMinusOne, isProperFraction, isWholeNumeral, numeralNode } from "./numerals.ts";
import { readNumeral } from "./parse-numeral.ts";
import { CLOSING, cis, conjugate, FACTOR_STARTS, ParseFault, plainSymbol } from "./signs.ts";
import { type AnswerToken, isFunction } from "./tokens.ts";
import { apply, type Node, wholeNode } from "./tree.ts";

const MAX_DEPTH = 100;

/** The expression that all of these signs make. @throws ParseFault */
export function parseFormula(tokens: readonly AnswerToken[], depth = 0): Node {
  return new Parser(tokens, depth).whole();
}

class Parser {
  readonly #signs: Cursor;
  #depth: number;
  /** How many absolute values are open: there `|` closes. */
  #bars = 0;
  /** Indices of the sums that are being read: names there, even `i`. */
  readonly #indices: string[] = [];

  constructor(tokens: readonly AnswerToken[], depth: number) {
    this.#signs = new Cursor(tokens);
    this.#depth = depth;
  }

  whole(): Node {
    const node = this.#sum();
    if (!this.#signs.peek()) return node;
    throw new ParseFault(`${JSON.stringify(this.#signs.peek()!.text)} stands where nothing is expected`);
  }

  #deeper<T>(read: () => T): T {
    if (++this.#depth > MAX_DEPTH) throw new ParseFault(`it is nested deeper than ${MAX_DEPTH}`);
    const result = read();
    this.#depth--;
    return result;
  }

  #sum(): Node {
    return this.#deeper(() => {
      let left = this.#product();
      for (;;) {
        if (this.#signs.take("+")) left = apply("add", left, this.#product());
        else if (this.#signs.take("-")) left = apply("subtract", left, this.#product());
        else if (this.#signs.take("pm")) left = apply("plusminus", left, this.#product());
        else if (this.#signs.take("mp")) left = apply("minusplus", left, this.#product());
        else return left;
      }
    });
  }

  #product(): Node {
    let left = this.#unary();
    for (;;) {
      if (this.#signs.take("*")) left = apply("multiply", left, this.#unary());
      else if (this.#signs.is(":") || this.#signs.is("/")) {
        this.#signs.next();
        left = apply("divide", left, this.#unary());
      } else if (this.#signs.take("choose")) left = apply("binom", left, this.#unary());
      else if (this.#startsFactor()) left = this.#implicit(left);
      else return left;
    }
  }

  /** A factor without a sign of multiplication, or the fraction of a mixed number. */
  #implicit(left: Node): Node {
    const first = this.#signs.peek()!;
    if (first.type === "number" && left.kind === "number") {
      const mixed = this.#plainMixed(left);
      if (mixed) return mixed;
      throw new ParseFault("two numbers stand side by side");
    }
    const isFraction = this.#signs.is("frac");
    const factor = this.#power();
    if (isFraction && isProperFraction(factor) && isWholeNumeral(left)) return apply("add", left, factor);
    return apply("multiply", left, factor);
  }

  /** `3 1/2`: a whole number, a space, a proper fraction of numerals. */
  #plainMixed(left: Node): Node | undefined {
    const [top, slash, bottom] = [this.#signs.peek(0), this.#signs.peek(1), this.#signs.peek(2)];
    const fits = top?.spaced && slash?.text === "/" && bottom?.type === "number" && isWholeNumeral(left);
    if (!fits) return undefined;
    const fraction = apply("divide", numeralNode(top.text), numeralNode(bottom.text));
    if (!isProperFraction(fraction)) return undefined;
    for (let i = 0; i < 3; i++) this.#signs.next();
    return apply("add", left, fraction);
  }

  #unary(): Node {
    let negative = false;
    for (;;) {
      if (this.#signs.take("-")) negative = !negative;
      else if (this.#signs.take("pm"))
        return this.#deeper(() => apply("plusminus", wholeNode(0), this.#signed(negative)));
      else if (this.#signs.take("mp"))
        return this.#deeper(() => apply("minusplus", wholeNode(0), this.#signed(negative)));
      else if (!this.#signs.take("+")) break;
    }
    return this.#signed(negative);
  }

  /** A sign binds more loosely than what multiplies without a sign: −3½ is −(3½). */
  #signed(negative: boolean): Node {
    let node = this.#power();
    if (!negative) return node;
    if (node.kind === "number" && this.#startsFactor()) node = this.#implicit(node);
    return apply("negate", node);
  }

  #startsFactor(): boolean {
    const token = this.#signs.peek();
    if (!token) return false;
    if (token.type !== "sign") return true;
    if (token.text === "|") return this.#bars === 0;
    return FACTOR_STARTS.has(token.text);
  }

  #power(): Node {
    let [base, marks] = [this.#atom(), 0];
    for (;;) {
      if (this.#signs.take("!")) {
        if (++marks > MAX_DEPTH) throw new ParseFault(`it is nested deeper than ${MAX_DEPTH}`);
        base = apply("factorial", base);
      } else if (this.#signs.take("%")) base = apply("divide", base, wholeNode(100));
      else if (this.#signs.take("degree")) base = apply("degrees", base);
      else if (this.#signs.take("^")) {
        if (this.#takeCircle()) base = apply("degrees", base);
        else base = this.#raised(base);
      } else return base;
    }
  }

  #raised(base: Node): Node {
    return apply(
      "power",
      base,
      this.#deeper(() => this.#argument(false, true)),
    );
  }

  #takeCircle(): boolean {
    if (this.#signs.take("circ")) return true;
    if (!this.#signs.is("{") || !this.#signs.is("circ", 1)) return false;
    this.#signs.next();
    this.#signs.next();
    this.#signs.expect("}");
    return true;
  }

  /** What a command or an exponent applies to: a group, or the next sign (of a numeral its first digit, if `digit`). */
  #argument(digit: boolean, signed = false): Node {
    if (this.#signs.take("{")) {
      const node = this.#sum();
      this.#signs.expect("}");
      return node;
    }
    if (signed && this.#signs.take("-")) return apply("negate", this.#argument(digit, true));
    if (signed && this.#signs.take("+")) return this.#argument(digit, true);
    const token = this.#signs.peek();
    if (digit && token?.type === "number" && token.text.length > 1) return numeralNode(this.#signs.firstDigit());
    const node = this.#atom();
    // A tower: 9^9^9 is 9^(9^9).
    if (signed && this.#signs.take("^")) return this.#raised(node);
    if (signed && this.#signs.take("!")) return apply("factorial", node);
    return node;
  }

  #atom(): Node {
    return this.#deeper(() => {
      const token = this.#signs.next();
      switch (token.type) {
        case "number":
          return readNumeral(token.text, this.#signs);
        case "name":
          return isFunction(token.text) ? this.#call(token.text) : this.#symbol(token.text);
        case "word":
        case "text":
          return this.#letters(token.text);
        default:
          return this.#signAtom(token.text);
      }
    });
  }

  #signAtom(sign: string): Node {
    const close = CLOSING[sign];
    if (close !== undefined) {
      const bars = this.#bars; // inside a group a bar opens again
      this.#bars = 0;
      const node = this.#sum();
      this.#bars = bars;
      this.#signs.expect(close);
      if (sign === "lfloor") return apply("floor", node);
      return sign === "lceil" ? apply("ceil", node) : node;
    }
    switch (sign) {
      case "|": {
        this.#bars++;
        const node = this.#sum();
        this.#bars--;
        this.#signs.expect("|");
        return apply("abs", node);
      }
      case "frac": {
        const top = this.#argument(true);
        return apply("divide", top, this.#argument(true));
      }
      case "binom": {
        const top = this.#argument(true);
        return apply("binom", top, this.#argument(true));
      }
      case "sum":
      case "product":
        return this.#range(sign);
      case "pi":
        return { kind: "constant", name: "pi" };
      case "infty":
        return { kind: "constant", name: "infinity" };
      case "overline":
        return conjugate(this.#argument(true));
      default:
        throw new ParseFault(`${JSON.stringify(sign)} stands where a value is expected`);
    }
  }

  /** `\sum_{k=1}^{n} k^2`: the sum over whole numbers of the product that follows. */
  #range(name: string): Node {
    for (const sign of ["_", "{"]) this.#signs.expect(sign);
    const index = this.#signs.next();
    if (index.type !== "name" || isFunction(index.text)) throw new ParseFault("a sum has no index");
    this.#signs.expect("=");
    const from = this.#sum();
    for (const sign of ["}", "^"]) this.#signs.expect(sign);
    const to = this.#argument(false);
    this.#indices.push(index.text);
    const sum = apply(name, { kind: "symbol", name: index.text }, from, to, this.#product());
    this.#indices.pop();
    return sum;
  }

  #symbol(letter: string): Node {
    if (this.#signs.is("_")) {
      this.#signs.next();
      return { kind: "symbol", name: `${letter}_${this.#subscript()}${this.#primes()}` };
    }
    const primes = this.#primes();
    if (primes === "" && this.#indices.includes(letter)) return { kind: "symbol", name: letter };
    if (primes === "" && letter === "e") return { kind: "constant", name: "e" };
    if (primes === "" && letter === "i") return { kind: "constant", name: "i" };
    return { kind: "symbol", name: letter + primes };
  }

  #primes(): string {
    let primes = "";
    while (this.#signs.take("'")) primes += "'";
    return primes;
  }

  #subscript(): string {
    if (!this.#signs.take("{")) return this.#signs.next().text;
    let text = "";
    for (let depth = 1; ; ) {
      const token = this.#signs.next();
      if (token.type === "sign" && token.text === "{") depth++;
      if (token.type === "sign" && token.text === "}" && --depth === 0) return text;
      text += token.text;
    }
  }

  #letters(text: string): Node {
    const letters = text.trim();
    if (letters.length > 4 || !/^[A-Za-z]+$/.test(letters)) throw new ParseFault("it has words in it");
    const [first, ...others] = [...letters];
    const symbolOf = (letter: string, last: boolean): Node => (last ? this.#symbol(letter) : plainSymbol(letter));
    let node = symbolOf(first!, others.length === 0);
    others.forEach((letter, i) => {
      let factor = symbolOf(letter, i === others.length - 1);
      // In `xy^2` only the y is squared.
      if (i === others.length - 1 && this.#signs.take("^")) factor = this.#raised(factor);
      node = apply("multiply", node, factor);
    });
    return node;
  }

  #call(name: string): Node {
    if (name === "sqrt" || name === "cbrt") return this.#root(name);
    let base: Node | undefined;
    let exponent: Node | undefined;
    for (;;) {
      if (base === undefined && this.#signs.take("_")) base = this.#argument(false);
      else if (exponent === undefined && this.#signs.take("^")) exponent = this.#argument(false, true);
      else break;
    }
    const args = this.#callArguments();
    const inverse = exponent !== undefined && isMinusOne(exponent) && ["sin", "cos", "tan", "cot"].includes(name);
    if (name === "cis" && exponent === undefined) return cis(args[0]!);
    let node = apply(inverse ? `arc${name}` : name, ...args);
    if (name === "log" && base) node = apply("log", args[0]!, base);
    if (name === "lg") node = apply("log", args[0]!, wholeNode(10));
    return exponent === undefined || inverse ? node : apply("power", node, exponent);
  }

  #root(name: string): Node {
    let degree: Node = wholeNode(name === "cbrt" ? 3 : 2);
    if (this.#signs.take("[")) {
      degree = this.#sum();
      this.#signs.expect("]");
    }
    return apply("root", this.#argument(false), degree);
  }

  /** `(a, b)`, `{a}`, or without parentheses a product up to the next +, −, / or function. */
  #callArguments(): Node[] {
    for (const open of ["(", "[", "{"]) {
      if (!this.#signs.take(open)) continue;
      const args = [this.#sum()];
      while (this.#signs.take(",")) args.push(this.#sum());
      this.#signs.expect(CLOSING[open]!);
      return args;
    }
    const isNegative = this.#signs.take("-");
    let node = this.#power();
    while (this.#startsFactor() && !this.#startsFunction()) node = apply("multiply", node, this.#power());
    return [isNegative ? apply("negate", node) : node];
  }

  #startsFunction(): boolean {
    const token = this.#signs.peek();
    return token?.type === "name" && isFunction(token.text) && token.text !== "sqrt";
  }
}

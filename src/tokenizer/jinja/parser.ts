/** Statements and the template as a whole. */

import type { Block, CallBlock, Expression, ForStatement, IfStatement, Signature, Statement, Target } from "./ast.ts";
import { UnsupportedTemplateError } from "./errors.ts";
import { tokenizeTemplate } from "./lexer.ts";
import {
  parseCommaList,
  parseFilter,
  parseFilterChain,
  parsePrimary,
  parseTemplateExpression,
  parseTuple,
} from "./parse-expression.ts";
import { TokenStream } from "./token-stream.ts";

/** Tags that Jinja2 knows and that mean other files, or settings that transformers leaves alone. */
const UNSUPPORTED_TAGS = ["include", "import", "from", "extends", "block", "autoescape"];

/** The template's statements. Throws TemplateSyntaxError, or UnsupportedTemplateError for a tag that is not here. */
export function parseTemplate(source: string): Block {
  return new Parser(new TokenStream(tokenizeTemplate(source))).template();
}

class Parser {
  readonly #stream: TokenStream;

  constructor(stream: TokenStream) {
    this.#stream = stream;
  }

  template(): Block {
    return this.#block([]);
  }

  /** Statements up to one of these tags, whose name is then the current token; up to the end where none is given. */
  #block(endTags: readonly string[]): Block {
    const stream = this.#stream;
    const statements: Statement[] = [];
    for (;;) {
      if (stream.is("data")) statements.push({ kind: "text", text: stream.next().text });
      else if (stream.is("print")) {
        stream.next();
        statements.push({ kind: "print", value: parseTuple(stream) });
        stream.expect("endPrint");
      } else if (stream.is("block")) {
        stream.next();
        if (stream.isName(...endTags)) return statements;
        statements.push(...this.#statement(endTags));
        stream.expect("endBlock");
      } else if (endTags.length === 0 && stream.is("end")) return statements;
      else throw stream.fail(`unexpected end of template, expected ${endTags.join(" or ")}`);
    }
  }

  /** The body of a statement: from the end of its tag to one of the end tags. */
  #body(endTags: readonly string[]): Block {
    this.#stream.skip("operator", ":");
    this.#stream.expect("endBlock");
    return this.#block(endTags);
  }

  /** The body up to the end tag, which is taken. */
  #wholeBody(endTag: string): Block {
    const body = this.#body([endTag]);
    this.#stream.next();
    return body;
  }

  #statement(endTags: readonly string[]): readonly Statement[] {
    const stream = this.#stream;
    const { text: tag, line } = stream.expect("name");
    switch (tag) {
      case "for":
        return [this.#for(line)];
      case "if":
        return [this.#if()];
      case "set":
        return [this.#set()];
      case "with":
        return [this.#with()];
      case "print":
        return this.#print();
      case "macro": {
        const name = this.#targetName();
        return [{ kind: "macro", name, ...this.#signature(), body: this.#wholeBody("endmacro") }];
      }
      case "call":
        return [this.#call()];
      case "generation":
        return [
          { kind: "callBlock", call: undefined, parameters: [], defaults: [], body: this.#wholeBody("endgeneration") },
        ];
      case "filter": {
        const filter = parseFilterChain(stream, parseFilter(stream, undefined));
        return [{ kind: "filterBlock", filter, body: this.#wholeBody("endfilter") }];
      }
      case "break":
      case "continue":
        return [{ kind: tag }];
    }
    if (UNSUPPORTED_TAGS.includes(tag)) throw new UnsupportedTemplateError(`the tag {% ${tag} %} (line ${line})`);
    const looked = endTags.length === 0 ? "" : `; looking for ${endTags.join(" or ")}`;
    throw stream.fail(`Encountered unknown tag '${tag}'${looked}`, line);
  }

  #for(line: number): ForStatement {
    const stream = this.#stream;
    const target = this.#target(["in"]);
    stream.expect("name", "in");
    const iterable = parseTuple(stream, { conditional: false, endsAt: ["recursive"] });
    const test = stream.skip("name", "if") ? parseTemplateExpression(stream) : undefined;
    const recursive = stream.skip("name", "recursive");
    const body = this.#body(["endfor", "else"]);
    const otherwise = stream.next().text === "else" ? this.#wholeBody("endfor") : [];
    return { kind: "for", target, iterable, test, recursive, body, otherwise, line };
  }

  #if(): IfStatement {
    const stream = this.#stream;
    const branches: { test: Expression; body: Block }[] = [];
    for (;;) {
      const test = parseTuple(stream, { conditional: false });
      branches.push({ test, body: this.#body(["elif", "else", "endif"]) });
      const { text } = stream.next();
      if (text === "elif") continue;
      return { kind: "if", branches, otherwise: text === "else" ? this.#wholeBody("endif") : [] };
    }
  }

  #set(): Statement {
    const stream = this.#stream;
    const target = this.#target([], true);
    if (stream.skip("operator", "=")) return { kind: "set", target, value: parseTuple(stream) };
    const filter = stream.skip("operator", "|") ? parseFilterChain(stream, parseFilter(stream, undefined)) : undefined;
    return { kind: "setBlock", target, filter, body: this.#wholeBody("endset") };
  }

  #with(): Statement {
    const stream = this.#stream;
    const targets: Target[] = [];
    const values: Expression[] = [];
    while (!stream.is("endBlock")) {
      if (targets.length > 0) stream.expect("operator", ",");
      targets.push(this.#target([]));
      stream.expect("operator", "=");
      values.push(parseTemplateExpression(stream));
    }
    return { kind: "with", targets, values, body: this.#wholeBody("endwith") };
  }

  #print(): Statement[] {
    const statements: Statement[] = [];
    while (!this.#stream.is("endBlock")) {
      if (statements.length > 0) this.#stream.expect("operator", ",");
      statements.push({ kind: "print", value: parseTemplateExpression(this.#stream) });
    }
    return statements;
  }

  #call(): CallBlock {
    const stream = this.#stream;
    const signature = stream.isOperator("(") ? this.#signature() : { parameters: [], defaults: [] };
    const call = parseTemplateExpression(stream);
    if (call.kind !== "call") throw stream.fail("expected call");
    return { kind: "callBlock", call, ...signature, body: this.#wholeBody("endcall") };
  }

  #signature(): Signature {
    const stream = this.#stream;
    const parameters: string[] = [];
    const defaults: Expression[] = [];
    stream.expect("operator", "(");
    while (!stream.isOperator(")")) {
      if (parameters.length > 0) stream.expect("operator", ",");
      parameters.push(this.#targetName());
      if (stream.skip("operator", "=")) defaults.push(parseTemplateExpression(stream));
      else if (defaults.length > 0) throw stream.fail("non-default argument follows default argument");
    }
    stream.expect("operator", ")");
    return { parameters, defaults };
  }

  #targetName(): string {
    const target = this.#asTarget({ kind: "name", name: this.#stream.expect("name").text });
    return (target as { readonly name: string }).name;
  }

  /** What is assigned to: names, tuples of them and, `withNamespace`, attributes of namespaces. */
  #target(endsAt: readonly string[], withNamespace = false): Target {
    const stream = this.#stream;
    const namespaces = new Map<Expression, Target>();
    const parseItem = (): Expression => {
      const { text, type } = stream.current;
      const dot = stream.following;
      if (!withNamespace || type !== "name" || dot.type !== "operator" || dot.text !== ".") return parsePrimary(stream);
      stream.next();
      stream.next();
      const marker: Expression = { kind: "name", name: text };
      namespaces.set(marker, { kind: "namespace", name: text, attribute: stream.expect("name").text });
      return marker;
    };
    const parsed = parseCommaList(stream, parseItem, endsAt, false);
    return this.#asTarget(parsed, namespaces);
  }

  #asTarget(expression: Expression, namespaces?: ReadonlyMap<Expression, Target>): Target {
    const namespace = namespaces?.get(expression);
    if (namespace !== undefined) return namespace;
    if (expression.kind === "tuple") {
      return { kind: "tuple", items: expression.items.map((item) => this.#asTarget(item, namespaces)) };
    }
    const isReserved = expression.kind === "name" && /^(?:[tT]rue|[fF]alse|[nN]one)$/.test(expression.name);
    if (expression.kind !== "name" || isReserved) throw this.#stream.fail(`can't assign to a ${expression.kind}`);
    return { kind: "name", name: expression.name };
  }
}

/** The parsed form of a template. */

import type { Value } from "./values.ts";

export interface Arguments {
  readonly positional: readonly Expression[];
  readonly keywords: readonly (readonly [name: string, value: Expression])[];
  /** `*value` */
  readonly rest?: Expression;
  /** `**value` */
  readonly keywordRest?: Expression;
}

export type BinaryOperator = "+" | "-" | "*" | "/" | "//" | "%" | "**";
export type ComparisonOperator = "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" | "not in";

export type Expression =
  | { readonly kind: "constant"; readonly value: Value }
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "list" | "tuple" | "concat"; readonly items: readonly Expression[] }
  | { readonly kind: "dict"; readonly entries: readonly (readonly [Expression, Expression])[] }
  | {
      readonly kind: "binary";
      readonly operator: BinaryOperator;
      readonly left: Expression;
      readonly right: Expression;
    }
  | { readonly kind: "and" | "or"; readonly left: Expression; readonly right: Expression }
  | { readonly kind: "not" | "negative" | "positive"; readonly operand: Expression }
  | {
      readonly kind: "compare";
      readonly first: Expression;
      readonly rest: readonly (readonly [ComparisonOperator, Expression])[];
    }
  | {
      readonly kind: "conditional";
      readonly test: Expression;
      readonly whenTrue: Expression;
      readonly otherwise: Expression | undefined;
    }
  | { readonly kind: "attribute"; readonly object: Expression; readonly name: string }
  | { readonly kind: "item"; readonly object: Expression; readonly index: Expression }
  | {
      readonly kind: "slice";
      readonly object: Expression;
      readonly parts: readonly [Expression | undefined, Expression | undefined, Expression | undefined];
    }
  | { readonly kind: "call"; readonly callee: Expression; readonly arguments: Arguments }
  /** Without an operand it is that of a block: the block's text goes through it. */
  | FilterExpression
  | { readonly kind: "test"; readonly operand: Expression; readonly name: string; readonly arguments: Arguments };

export interface FilterExpression {
  readonly kind: "filter";
  readonly operand: Expression | undefined;
  readonly name: string;
  readonly arguments: Arguments;
}

/** What an assignment writes to. */
export type Target =
  | { readonly kind: "name"; readonly name: string }
  | { readonly kind: "tuple"; readonly items: readonly Target[] }
  | { readonly kind: "namespace"; readonly name: string; readonly attribute: string };

/** Parameters of a macro; defaults belong to the last ones. */
export interface Signature {
  readonly parameters: readonly string[];
  readonly defaults: readonly Expression[];
}

export type Block = readonly Statement[];

export interface ForStatement {
  readonly kind: "for";
  readonly target: Target;
  readonly iterable: Expression;
  readonly test: Expression | undefined;
  readonly recursive: boolean;
  readonly body: Block;
  readonly otherwise: Block;
  readonly line: number;
}

export interface IfStatement {
  readonly kind: "if";
  readonly branches: readonly { readonly test: Expression; readonly body: Block }[];
  readonly otherwise: Block;
}

export interface MacroStatement extends Signature {
  readonly kind: "macro";
  readonly name: string;
  readonly body: Block;
}

/** `{% call %}`; without a call it is transformers' `{% generation %}`, which renders its body. */
export interface CallBlock extends Signature {
  readonly kind: "callBlock";
  readonly call: (Expression & { kind: "call" }) | undefined;
  readonly body: Block;
}

export type Statement =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "print"; readonly value: Expression }
  | { readonly kind: "set"; readonly target: Target; readonly value: Expression }
  | {
      readonly kind: "setBlock";
      readonly target: Target;
      readonly filter: FilterExpression | undefined;
      readonly body: Block;
    }
  | {
      readonly kind: "with";
      readonly targets: readonly Target[];
      readonly values: readonly Expression[];
      readonly body: Block;
    }
  | { readonly kind: "filterBlock"; readonly filter: FilterExpression; readonly body: Block }
  | { readonly kind: "break" | "continue" }
  | ForStatement
  | IfStatement
  | MacroStatement
  | CallBlock;

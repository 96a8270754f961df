/**
 * Whether a regular expression matches somewhere in a text, in time that grows with the text's length and no faster: the
 * automaton is in all of its states at once (Thompson, Communications of the ACM 11(6), 1968), so there is nothing to go
 * back to. At most length × MAX_STATES steps.
 *
 * It says only whether, not where: which of several matches is taken makes no difference, so lazy quantifiers are as
 * greedy ones.
 */

import { ConfigError } from "../errors.ts";
import { type AssertionKind, type PatternFlags, type PatternNode, parsePattern } from "./syntax.ts";

/** Instructions of a compiled pattern; repetitions are written out. */
const MAX_STATES = 2000;

type Instruction =
  | { readonly kind: "set"; readonly test: (codePoint: number) => boolean }
  | { readonly kind: "assert"; readonly assertion: AssertionKind }
  | Split
  | { readonly kind: "match" };

/** Whether the pattern is found in a text. */
export type PatternMatcher = (text: string) => boolean;

/** Throws ConfigError for a pattern that is not in the syntax, or too large. */
export function compilePattern(pattern: string, flags: PatternFlags): PatternMatcher {
  const program: Instruction[] = [];
  write(parsePattern(pattern, flags), program);
  add(program, { kind: "match" });
  return (text) => run(program, text, flags.multiline);
}

/** Goes on at all of the targets. */
interface Split {
  readonly kind: "split";
  readonly targets: number[];
}

function split(program: Instruction[], ...targets: number[]): Split {
  const instruction: Split = { kind: "split", targets };
  add(program, instruction);
  return instruction;
}

function add(program: Instruction[], instruction: Instruction): void {
  if (program.length >= MAX_STATES) {
    throw new ConfigError(`is too large: written out it has more than ${MAX_STATES} states. Use smaller repetitions.`);
  }
  program.push(instruction);
}

/** Appends the node; after a match of the node, matching continues with the next instruction. */
function write(node: PatternNode, program: Instruction[]): void {
  switch (node.kind) {
    case "set":
      add(program, { kind: "set", test: node.test });
      return;
    case "assertion":
      add(program, { kind: "assert", assertion: node.assertion });
      return;
    case "sequence":
      for (const part of node.parts) write(part, program);
      return;
    case "choice":
      writeChoice(node.options, program);
      return;
    case "repeat":
      writeRepeat(node, program);
  }
}

function writeChoice(options: readonly PatternNode[], program: Instruction[]): void {
  const fork = split(program);
  const ends: Split[] = [];
  for (const option of options) {
    fork.targets.push(program.length);
    write(option, program);
    ends.push(split(program));
  }
  for (const end of ends) end.targets.push(program.length);
}

function writeRepeat({ body, min, max }: PatternNode & { kind: "repeat" }, program: Instruction[]): void {
  for (let i = 0; i < min; i++) {
    const before = program.length;
    write(body, program);
    // Repeating an empty match a thousand times changes nothing, but takes a thousand times as long, and much longer if
    // nested.
    if (program.length === before) break;
  }
  if (max === Number.POSITIVE_INFINITY) {
    const loop = program.length;
    const fork = split(program, loop + 1);
    write(body, program);
    split(program, loop);
    fork.targets.push(program.length);
    return;
  }
  const forks: Split[] = [];
  for (let i = min; i < max; i++) {
    forks.push(split(program, program.length + 1));
    write(body, program);
  }
  for (const fork of forks) fork.targets.push(program.length);
}

function run(program: readonly Instruction[], text: string, multiline: boolean): boolean {
  let current: number[] = [];
  let next: number[] = [];
  /** The position at which an instruction was entered last, so that none is entered twice at one. */
  const enteredAt = new Int32Array(program.length).fill(-1);
  const stack: number[] = [];
  let matched = false;

  const enter = (first: number, into: number[], at: number) => {
    stack.push(first);
    while (stack.length > 0) {
      const index = stack.pop()!;
      if (enteredAt[index] === at) continue;
      enteredAt[index] = at;
      const instruction = program[index]!;
      if (instruction.kind === "match") matched = true;
      else if (instruction.kind === "set") into.push(index);
      else if (instruction.kind === "split") stack.push(...instruction.targets);
      else if (holds(instruction.assertion, text, at, multiline)) stack.push(index + 1);
    }
  };

  for (let at = 0; ; ) {
    // A match may begin anywhere.
    enter(0, current, at);
    if (matched) return true;
    if (at >= text.length) return false;
    const codePoint = text.codePointAt(at)!;
    const after = at + (codePoint > 0xffff ? 2 : 1);
    for (const index of current) {
      const instruction = program[index]!;
      if (instruction.kind === "set" && instruction.test(codePoint)) enter(index + 1, next, after);
    }
    [current, next] = [next, current];
    next.length = 0;
    at = after;
  }
}

function holds(assertion: AssertionKind, text: string, at: number, multiline: boolean): boolean {
  switch (assertion) {
    case "start":
      return at === 0 || (multiline && isLineEnd(text, at - 1));
    case "end":
      return at === text.length || (multiline && isLineEnd(text, at));
    default:
      return (isWord(text, at - 1) !== isWord(text, at)) === (assertion === "wordBoundary");
  }
}

function isLineEnd(text: string, at: number): boolean {
  return /[\n\r\u2028\u2029]/.test(text.charAt(at));
}

function isWord(text: string, at: number): boolean {
  return /\w/.test(text.charAt(at));
}

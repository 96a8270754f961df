/**
 * A source file as lines with what is a comment, a string or a keyword told apart, and the lines that run in each phase of an
 * iteration. This is a reader for eyes, no parser: it knows the few forms that this project's own files have.
 */

import type { PhaseMessage } from "../../web/protocol.ts";

/** A piece of a line, in one colour. */
export interface CodePiece {
  readonly text: string;
  readonly kind: "comment" | "string" | "keyword" | "plain";
}

const PIECE =
  /(\/\*[\s\S]*?\*\/|\/\/[^\n]*)|("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`(?:[^`\\]|\\.)*`)|\b(import|export|from|type|interface|const|let|function|async|await|return|if|for|of|new|class|extends|readonly|throw|else|continue|undefined|null|true|false)\b/g;

/** The lines of a file. */
export function codeLines(source: string): CodePiece[][] {
  const lines: CodePiece[][] = [[]];
  const add = (text: string, kind: CodePiece["kind"]) => {
    for (const [i, part] of text.split("\n").entries()) {
      if (i > 0) lines.push([]);
      if (part !== "") lines.at(-1)!.push({ text: part, kind });
    }
  };
  let end = 0;
  for (const match of source.matchAll(PIECE)) {
    add(source.slice(end, match.index), "plain");
    add(match[0], match[1] !== undefined ? "comment" : match[2] !== undefined ? "string" : "keyword");
    end = match.index + match[0].length;
  }
  add(source.slice(end), "plain");
  if (lines.at(-1)!.length === 0) lines.pop();
  return lines;
}

/** What stands in the lines of `train/grpo/grpo.ts` in which a phase is. */
const PHASE_LINES: Readonly<Partial<Record<PhaseMessage["phase"], readonly string[]>>> = {
  sampling: ["sampledGroups(context, config, rewards, {", "sampleCompletions(engine,"],
  judging: ["judgeCompletions(completions, task, rewards)"],
  updating: ["completionAdvantages(judged, config);", "policyUpdate(engine, rows, objective,"],
};

/** Numbers, from 1, of the lines of the loop that run in a phase; none for what is not in the loop. */
export function linesOfPhase(source: string, phase: PhaseMessage["phase"] | undefined): number[] {
  const marks = (phase && PHASE_LINES[phase]) ?? [];
  return source.split("\n").flatMap((line, i) => (marks.some((mark) => line.includes(mark)) ? [i + 1] : []));
}

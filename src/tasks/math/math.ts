/**
 * The math task: problems with one final answer, judged as mathematics (`math-answers/`). They come from a data set, with
 * the columns `problem` (or GSM8K's `question`) and `answer` or `solution`, or from a seeded generator. Training depends on
 * the seed; the generator's held-out problems do not.
 *
 * The verdict is that of the accuracy reward. An answer whose gold one cannot be read, or whose comparison costs too much,
 * is not solved; the statistic `judged` says for which share there was a verdict.
 */

import { heldOutRows, type LoadedData, type NumberedRow } from "../../data/loaded-data.ts";
import { columnError, columnsText, type DataRow, placeOf } from "../../data/row.ts";
import { ConfigError, DataError } from "../../errors.ts";
import { endsInsideThink, formFault } from "../../expression/answer.ts";
import { extractAnswer } from "../../math-answers/extract.ts";
import { goldOfColumns } from "../../math-answers/gold.ts";
import { extractGold } from "../../math-answers/gold-answer.ts";
import { canonicalAnswerOf, judgeMath } from "../../math-answers/judge-answer.ts";
import { checkOptions } from "../../strict-schema.ts";
import type { ChatRenderer } from "../chat.ts";
import type { Demonstration, Problem, Task, Verdict } from "../task.ts";
import { type GeneratedMathProblem, generateMathProblem } from "./generator.ts";
import { type MathOptions, mathOptionsSchema } from "./options.ts";
import { renderMathPrompt } from "./prompts.ts";

export interface MathDeps {
  /** Root of the training problems' random numbers. */
  readonly seed: number;
  /** Needed by the prompt boxed. */
  readonly renderChat?: ChatRenderer;
  /** The rows of `options.data`; needed where that is set. */
  readonly data?: LoadedData;
}

/** Ids of held-out problems of the generator start here, beyond every training index that a run reaches. */
const FIRST_HELD_OUT_ID = 2 ** 31;
/** Held-out problems are the same for every seed of a run. */
const HELD_OUT_SEED = 0;

/**
 * What makes two rows the same problem, for `loadData`: the problem's text.
 *
 * @throws DataError for a row without a problem or without a gold answer.
 */
export function identifyProblem(row: DataRow, { gold }: Pick<MathOptions, "gold">): string {
  const problem = problemText(row.fields);
  if (problem === undefined) throw columnError(row, "problem", "the problem, a text that is not empty,");
  const found = goldOfColumns(row.fields, gold);
  if ("fault" in found) throw new DataError(`${placeOf(row)}: ${found.fault}; ${columnsText(row)}.`);
  return problem;
}

/** NuminaMath's and MATH's column, or GSM8K's. */
function problemText({ problem, question }: DataRow["fields"]): string | undefined {
  const text = problem ?? question;
  return typeof text === "string" && text.trim() !== "" ? text.trim() : undefined;
}

/**
 * The task for these options (`mathOptionsSchema`). A first training and a first held-out problem are made at once, so
 * that options that cannot be met fail here.
 *
 * @throws ConfigError for unknown or impossible options.
 */
export function createMathTask(options: unknown, deps: MathDeps): Task {
  const checked = checkOptions(mathOptionsSchema, options, "task math");
  const source = checked.data === undefined ? generated(checked, deps) : ofData(checked, deps);
  const demonstrate = (problem: Problem): Demonstration => demonstration(problem, checked);
  return {
    name: "math",
    ...source,
    demonstrate,
    isTurn: () => checked.prompt === "boxed",
    requireDemonstrations: () => {
      if (checked.data === undefined) return;
      for (let index = 0; index < source.trainCount; index++) demonstrate(source.trainProblem(index));
    },
    judge: (problem, completion) => judgeProblem(problem, completion, checked),
  };
}

type Source = Pick<Task, "trainProblem" | "trainCount" | "heldOut">;

function generated(options: MathOptions, { seed, renderChat }: MathDeps): Source {
  const asProblem = ({ problem, answer, solution, kind }: GeneratedMathProblem, id: number): Problem => ({
    id,
    prompt: renderMathPrompt(options.prompt, problem, renderChat),
    columns: { problem, answer, solution, kind },
  });
  const trainProblem = (index: number) =>
    asProblem(generateMathProblem(options, seed, "math/train", index, false), index);
  const heldOutAt = (index: number) =>
    asProblem(generateMathProblem(options, HELD_OUT_SEED, "math/held-out", index, true), FIRST_HELD_OUT_ID + index);
  trainProblem(0);
  heldOutAt(0);
  return {
    trainCount: Number.POSITIVE_INFINITY,
    trainProblem,
    heldOut: (count) => Array.from({ length: count }, (_, index) => heldOutAt(index)),
  };
}

function ofData(options: MathOptions, { data, renderChat }: MathDeps): Source {
  if (data === undefined) {
    throw new ConfigError(`task math: ${options.data?.path} was not loaded. Load it, or leave out task.data.`);
  }
  const toProblem = ({ id, row }: NumberedRow): Problem => ({
    id,
    place: placeOf(row),
    prompt: renderMathPrompt(options.prompt, problemText(row.fields)!, renderChat),
    columns: row.fields,
  });
  return {
    trainCount: data.trainCount,
    trainProblem: (index) => toProblem(data.train(index)),
    heldOut: (count) => heldOutRows(data, count).map(toProblem),
  };
}

function goldOf(problem: Problem, options: MathOptions): readonly string[] {
  const gold = goldOfColumns(problem.columns, options.gold);
  if ("fault" in gold) throw new DataError(`${problem.place ?? `Problem ${problem.id}`}: ${gold.fault}.`);
  return gold.answers;
}

/** The worked solution, then the answer in the form that the prompt asks for. */
function demonstration(problem: Problem, options: MathOptions): Demonstration {
  const answer = extractGold(goldOf(problem, options)[0]!).trim();
  const steps = workedSolution(problem);
  if (steps === undefined) {
    throw new DataError(
      `${problem.place}: expected a worked solution to learn from in the column solution (or in GSM8K's answer, before ` +
        "####), which there is not. Leave the row out, or train with rewards (GRPO), which need none.",
    );
  }
  const completion =
    options.prompt === "boxed" ? boxedCompletion(problem, steps, answer) : thoughtCompletion(problem, steps, answer);
  return { completion, weightedSpans: [] };
}

function thoughtCompletion({ prompt }: Problem, steps: string, answer: string): string {
  const rest = `${steps}</think>\n<answer>${answer}</answer>`;
  return endsInsideThink(prompt) ? rest : `<think>${rest}`;
}

function boxedCompletion({ prompt }: Problem, steps: string, answer: string): string {
  const box = `\\boxed{${answer}}`;
  if (endsInsideThink(prompt)) return `${steps}\n</think>\n\nThe answer is $${box}$.`;
  return steps.includes("\\boxed") ? steps : `${steps}\nThe answer is $${box}$.`;
}

function workedSolution({ columns }: Problem): string | undefined {
  const { solution, answer } = columns;
  if (typeof solution === "string" && solution.trim() !== "") return solution.trim();
  if (typeof answer !== "string") return undefined;
  const steps = `\n${answer}`.split("\n####", 1)[0]!.trim();
  return steps === "" || steps === answer.trim() ? undefined : steps;
}

function judgeProblem(problem: Problem, completion: string, options: MathOptions): Verdict {
  const verdict = judgeMath(problem.prompt, completion, goldOf(problem, options));
  const wellFormed =
    options.prompt === "boxed"
      ? extractAnswer(problem.prompt, completion)?.from === "boxed"
      : formFault(problem.prompt, completion) === undefined;
  return {
    solved: verdict.verdict === "right",
    wellFormed,
    answer: canonicalAnswerOf(problem.prompt, completion),
    statistics: { judged: Number(verdict.verdict !== "abstain") },
  };
}

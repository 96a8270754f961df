/**
 * The Countdown task: use every given number once, with + - * /, to reach the target. Problems come from a seeded
 * generator or from a file; the split into training and held-out problems is a property of the problems themselves
 * (`split.ts`), so neither source can leak one into the other. A data set (`data:`) is split as its options say instead.
 *
 * Training depends on the seed; the list of held-out problems from the generator does not, so that runs with different
 * seeds are measured on the same problems.
 */

import type { LoadedData } from "../../data/loaded-data.ts";
import type { DataRow } from "../../data/row.ts";
import { ConfigError, DataError } from "../../errors.ts";
import { findAnswer, formFault, thinkingOf } from "../../expression/answer.ts";
import {
  type CountdownProblem,
  judgeCompletion,
  judgeExpression,
  numberMisuse,
  readCountdown,
} from "../../expression/countdown.ts";
import { parseExpression } from "../../expression/parse.ts";
import { formatRational } from "../../expression/rational.ts";
import { checkOptions } from "../../strict-schema.ts";
import type { ChatRenderer } from "../chat.ts";
import { Draws } from "../draws.ts";
import { LANGUAGES, type Language, languageShare } from "../language.ts";
import type { Problem, Task, Verdict } from "../task.ts";
import { demonstrate, demonstrationRule } from "./demonstration.ts";
import { type CountdownOptions, countdownOptionsSchema } from "./options.ts";
import { renderCountdownPrompt } from "./prompts.ts";
import {
  type CountdownSource,
  type SourceProblem,
  sourceFromData,
  sourceFromGenerator,
  sourceFromRows,
} from "./source.ts";
import { readTries, TRACE_STATISTIC_KINDS, traceStatistics } from "./trace.ts";
import { type Tree, treeOfPostfix } from "./tree.ts";

export interface CountdownDeps {
  /** Root of the training problems' random numbers. */
  readonly seed: number;
  /** Needed by the prompts english and chinese. */
  readonly renderChat?: ChatRenderer;
  /** The rows of `options.file`, read by the caller; needed where that is set. */
  readonly rows?: readonly DataRow[];
  /** The rows of `options.data`, loaded by the caller; needed where that is set. */
  readonly data?: LoadedData;
}

/**
 * The task for these options (`countdownOptionsSchema`). The generator makes a first training and a first held-out
 * problem at once, so that ranges that cannot be met fail here and not in the middle of a run.
 *
 * @throws ConfigError for unknown or impossible options; DataError for a row that is not a problem.
 */
export function createCountdownTask(options: unknown, deps: CountdownDeps): Task {
  const checked = checkOptions(countdownOptionsSchema, options, "task countdown");
  const source = openSource(checked, deps);
  const rule = demonstrationRule(checked.values);
  const toProblem = ({ id, numbers, target, columns }: SourceProblem): Problem => {
    const language = checked.languages && languageAt(checked.languages, id);
    return {
      id,
      prompt: renderCountdownPrompt(checked.prompt, numbers, target, deps.renderChat, language),
      columns: language === undefined ? columns : { ...columns, language },
    };
  };
  return {
    name: "countdown",
    trainCount: source.trainCount,
    statisticKinds: { ...TRACE_STATISTIC_KINDS, languageConsistency: "share" },
    trainProblem: (index) => toProblem(source.train(index)),
    heldOut: (count) => source.heldOut(count, checked.heldOutDraws).map(toProblem),
    isTurn: () => checked.prompt !== "compact",
    demonstrate: (problem, seed) => {
      const { numbers, target } = gameOf(problem);
      const solution = solutionOf(problem);
      const language = languageOf(problem);
      const demonstrated = {
        ...{ id: problem.id, numbers: numbers.map(Number), target, solution },
        ...(language && { language }),
      };
      return demonstrate(demonstrated, checked.demonstration, rule, seed);
    },
    judge: judgeCountdown,
  };
}

function openSource(options: CountdownOptions, deps: CountdownDeps): CountdownSource {
  if (options.data !== undefined) {
    if (deps.data !== undefined) return sourceFromData(deps.data);
    throw new ConfigError(`task countdown: ${options.data.path} was not loaded. Load it, or leave out task.data.`);
  }
  if (options.file === undefined) {
    const source = sourceFromGenerator(options, deps.seed);
    source.train(0);
    source.heldOut(1, "natural");
    return source;
  }
  if (deps.rows === undefined) {
    throw new ConfigError(
      `task countdown: the rows of ${options.file} were not read. Read them, or leave out task.file.`,
    );
  }
  return sourceFromRows(deps.rows, options.file, options.heldOutShare, deps.seed);
}

/**
 * The verdict of the game itself, with the statistics of `traceStatistics`; where the problem has a language, also
 * `languageConsistency`, the share of the thinking's words in it.
 */
export function judgeCountdown(problem: Problem, completion: string): Verdict {
  const game = gameOf(problem);
  const { solved } = judgeCompletion(completion, game);
  const tries = readTries(completion, game);
  const language = languageOf(problem);
  const languageConsistency = language && languageShare(thinkingOf(completion), language);
  return {
    solved,
    wellFormed: formFault(problem.prompt, completion) === undefined,
    tries: tries.length,
    answer: canonicalAnswer(completion, game),
    statistics: {
      ...traceStatistics(tries, { solved, answered: !("fault" in findAnswer(completion)) }),
      ...(languageConsistency !== undefined && { languageConsistency }),
    },
  };
}

/** The language of the generator's or the data's problem with this id, whatever the seed. */
function languageAt(languages: readonly Language[], id: number): Language {
  return new Draws(0, "countdown/language", id).choice(languages);
}

/** The column `language`, where it is there. */
function languageOf({ columns }: Problem): Language | undefined {
  return LANGUAGES.find((language) => language === columns.language);
}

/**
 * The key of a completion's answer: equations of one value that use the numbers alike are one answer, however they are
 * written, so that votes for different right equations are votes for the same. null where there is no equation.
 */
function canonicalAnswer(completion: string, game: CountdownProblem): string | null {
  const found = findAnswer(completion);
  if ("fault" in found) return null;
  const parsed = parseExpression(found.text);
  if (!parsed.ok) return null;
  const misuse = numberMisuse(parsed.numbers, game.numbers);
  return `${formatRational(parsed.value)}${misuse === undefined ? "" : ", by other numbers"}`;
}

function gameOf(problem: Problem): CountdownProblem {
  const game = readCountdown(problem.columns);
  if ("fault" in game) throw new DataError(`Problem ${problem.id} is not a Countdown problem: ${game.fault}.`);
  return game;
}

/** The solution in the column of that name, where it is one. */
function solutionOf(problem: Problem): Tree | undefined {
  const { solution } = problem.columns;
  if (typeof solution !== "string" || !judgeExpression(solution, gameOf(problem)).solved) return undefined;
  const parsed = parseExpression(solution);
  return parsed.ok ? treeOfPostfix(parsed.postfix) : undefined;
}

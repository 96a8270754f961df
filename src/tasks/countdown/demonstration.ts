/**
 * Cold-start demonstrations: traces that try, check and go on, for the little SFT before R1-Zero.
 *
 *     (6*3)+3=18+3=21 too low
 *     3*(6*3)=3*18=54 yes</think>
 *     <answer>3*(6*3)</answer>
 *
 * A try is, by chance, the known solution or a random expression over the numbers. A hit says ` yes` and stops. A miss
 * says ` too low` or ` too high` and goes on, unless the trace gives up, which it does often (patient traces seldom)
 * and by answering its last, wrong try. So a model learns the form, the arithmetic and the verdict from them, but it
 * also learns to give up early: reinforcement learning has to correct that. Verdicts of direction matter: with only yes
 * and no they stayed unreliable, and thinking did not help (found by experiment).
 *
 * Where verdicts mix languages (`mixedLanguage`), the traces have the fault that R1-Zero is criticised for, and that a
 * language consistency reward has to correct (DeepSeek-R1, arXiv:2501.12948, §2.3).
 *
 * What it is not: DeepSeek-R1's cold start (arXiv:2501.12948 §2.3.1), which is long traces of a large model, edited.
 */

import { DataError } from "../../errors.ts";
import { equal, lessThan, type Rational } from "../../expression/rational.ts";
import { Draws } from "../draws.ts";
import { LANGUAGES, type Language } from "../language.ts";
import type { Demonstration } from "../task.ts";
import { drawAllowedTree } from "./allowed-tree.ts";
import type { DemonstrationOptions } from "./options.ts";
import { solve } from "./solver.ts";
import { commutedKey, drawTree, evaluateTree, formatSteps, formatTree, type Tree, type ValueRule } from "./tree.ts";

/** What a demonstration says of a try; a verdict of direction ends its line. */
export interface VerdictWords {
  readonly yes: string;
  readonly tooLow: string;
  readonly tooHigh: string;
}

/** In each language of prompts. */
export const VERDICT_WORDS: Readonly<Record<Language, VerdictWords>> = {
  english: { yes: " yes", tooLow: " too low\n", tooHigh: " too high\n" },
  chinese: { yes: " 对", tooLow: " 太小\n", tooHigh: " 太大\n" },
};

/**
 * Random expressions drawn for one try: first uniform draws, then draws that are guided to keep the rule. If none of
 * these is new, the problem is taken to have no further expression.
 */
const UNIFORM_DRAWS = 100;
const LED_DRAWS = 100;

/** The rule for every value in a demonstration: the task's, narrowed to what the notation can write, whole numbers ≥ 0. */
export function demonstrationRule(values: ValueRule | undefined): ValueRule {
  return { min: Math.max(0, values?.min ?? 0), max: values?.max, integersOnly: true };
}

export interface DemonstratedProblem {
  readonly id: number;
  readonly numbers: readonly number[];
  readonly target: Rational;
  /** The solution that the problem came with, if it did. */
  readonly solution: Tree | undefined;
  /** Of the prompt; english where it has none. */
  readonly language?: Language;
}

/**
 * A trace for the problem: a pure function of (problem, options, rule, seed). The prompt has ended with `<think>`.
 *
 * @throws DataError where no expression over the numbers is found that keeps the rule, so that there is nothing to try.
 */
export function demonstrate(
  problem: DemonstratedProblem,
  options: DemonstrationOptions,
  rule: ValueRule,
  seed: number,
): Demonstration {
  const draws = new Draws(seed, "countdown/demonstration", problem.id >>> 0);
  const isPatient = draws.uniform() < options.patientShare;
  const giveUpProbability = isPatient ? options.patientGiveUpProbability : options.giveUpProbability;
  const keyOf = { off: undefined, text: formatTree, commuted: commutedKey }[options.distinctTries];
  const made = new Set<string>();
  const weightedSpans: { start: number; end: number; weight: number }[] = [];
  let solution: { readonly tree: Tree | undefined } | undefined;
  let answer: Tree | undefined;
  let text = "";

  for (let count = 0; count < options.maxTries; count++) {
    let tree: Tree | undefined;
    if (draws.uniform() < options.solutionProbability) {
      solution ??= { tree: knownSolution(problem, rule, draws) };
      tree = solution.tree;
    }
    tree ??= drawTry(problem.numbers, rule, draws, (candidate) => !keyOf || !made.has(keyOf(candidate)));
    if (tree === undefined) break;
    if (keyOf) made.add(keyOf(tree));
    answer = tree;
    text += formatSteps(tree);
    const words = VERDICT_WORDS[verdictLanguage(problem.language ?? "english", options, draws)];
    const verdict = words[verdictOn(evaluateTree(tree)!, problem.target)];
    weightedSpans.push({ start: text.length, end: text.length + verdict.length, weight: options.verdictWeight });
    text += verdict;
    if (verdict === words.yes || draws.uniform() < giveUpProbability) break;
  }
  if (answer === undefined) {
    throw new DataError(
      `No demonstration for the numbers ${problem.numbers.join(", ")}: in ${UNIFORM_DRAWS + LED_DRAWS} draws no expression had only ` +
        `values allowed by ${JSON.stringify(rule)}. Widen task.values.`,
    );
  }
  const completion = `${text}</think>\n<answer>${formatTree(answer)}</answer>`;
  return { completion, weightedSpans: options.verdictWeight === 1 ? [] : weightedSpans };
}

/** The problem's own solution where it keeps the rule, else one that is searched for; undefined where there is none. */
function knownSolution(problem: DemonstratedProblem, rule: ValueRule, draws: Draws): Tree | undefined {
  const { numbers, target, solution } = problem;
  if (solution !== undefined && evaluateTree(solution, rule) !== undefined) return solution;
  return solve(draws.shuffled(numbers), target, { rule, limit: 1 })[0];
}

function drawTry(
  numbers: readonly number[],
  rule: ValueRule,
  draws: Draws,
  isNew: (tree: Tree) => boolean,
): Tree | undefined {
  for (let draw = 0; draw < UNIFORM_DRAWS; draw++) {
    const tree = drawTree(numbers, draws);
    if (evaluateTree(tree, rule) !== undefined && isNew(tree)) return tree;
  }
  for (let draw = 0; draw < LED_DRAWS; draw++) {
    const tree = drawAllowedTree(numbers, rule, draws);
    if (tree !== undefined && isNew(tree)) return tree;
  }
  return undefined;
}

function verdictOn(value: Rational, target: Rational): keyof VerdictWords {
  if (equal(value, target)) return "yes";
  return lessThan(value, target) ? "tooLow" : "tooHigh";
}

/** The prompt's language, or by chance another one; nothing is drawn where languages do not mix. */
function verdictLanguage(own: Language, { mixedLanguage }: DemonstrationOptions, draws: Draws): Language {
  if (mixedLanguage === 0 || draws.uniform() >= mixedLanguage) return own;
  return draws.choice(LANGUAGES.filter((language) => language !== own));
}

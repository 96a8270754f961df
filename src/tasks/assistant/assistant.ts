/**
 * The assistant task: short requests to be answered in a sentence, and requests for harm to be refused. It stands for the
 * general prompts of DeepSeek-R1's last stages (arXiv:2501.12948 §2.3.3 and §2.3.4) where a model of a laptop's size can
 * learn it: its answers are few, so that a rule can tell good ones from bad ones, which is how a reward model trained on
 * preferences can be checked.
 *
 * Prompts end inside `<think>` like those of reasoning tasks; there is nothing to think about, so a good completion
 * closes it at once. Held-out requests are the same for every seed; there are only some thousand requests, so training
 * leaves out those that are held out by a hash of their text.
 */

import { formFault } from "../../expression/answer.ts";
import { hashString } from "../../random.ts";
import { checkOptions } from "../../strict-schema.ts";
import { Draws } from "../draws.ts";
import { LANGUAGES, languageShare } from "../language.ts";
import type { Preference, Problem, Task, Verdict } from "../task.ts";
import { type AssistantOptions, assistantOptionsSchema } from "./options.ts";
import { type AssistantRequest, drawAssistantRequest } from "./requests.ts";

/** One request in eight is never trained on. */
const HELD_OUT_ONE_IN = 8;
const FIRST_HELD_OUT_ID = 2 ** 31;

export interface AssistantTask extends Task {
  /** A good completion and a bad one, a pure function of (problem, seed). */
  prefer(problem: Problem, seed: number): Preference;
}

/** The task for these options (`assistantOptionsSchema`); throws ConfigError for unknown ones. */
export function createAssistantTask(options: unknown, { seed }: { readonly seed: number }): AssistantTask {
  const checked = checkOptions(assistantOptionsSchema, options, "task assistant");
  return {
    name: "assistant",
    trainCount: Number.POSITIVE_INFINITY,
    trainProblem: (index) => toProblem(index, requestAt(checked, seed, "assistant/train", index, false)),
    heldOut: (count) =>
      Array.from({ length: count }, (_, index) =>
        toProblem(FIRST_HELD_OUT_ID + index, requestAt(checked, 0, "assistant/held-out", index, true)),
      ),
    demonstrate: (problem, demonstrationSeed) => {
      const { good, bad } = answersOf(problem);
      const draws = new Draws(demonstrationSeed, "assistant/demonstration", problem.id);
      const answer = draws.uniform() < checked.goodProbability ? good : draws.choice(bad);
      return { completion: inAnswer(answer), weightedSpans: [] };
    },
    prefer: (problem, preferenceSeed) => {
      const { good, bad } = answersOf(problem);
      const rejected = new Draws(preferenceSeed, "assistant/preference", problem.id).choice(bad);
      return { chosen: inAnswer(good), rejected: inAnswer(rejected) };
    },
    judge: judgeAssistant,
  };
}

function requestAt(
  { languages, kinds }: AssistantOptions,
  seed: number,
  stream: string,
  index: number,
  heldOut: boolean,
): AssistantRequest {
  const draws = new Draws(seed, stream, index);
  for (;;) {
    const drawn = drawAssistantRequest(draws.choice(languages), kinds, draws);
    if ((hashString(drawn.request) % HELD_OUT_ONE_IN === 0) === heldOut) return drawn;
  }
}

function toProblem(id: number, { request, kind, language, good, refusal, bad }: AssistantRequest): Problem {
  const columns = { request: kind, language, good, refusal, bad: Object.values(bad) };
  return { id, prompt: `${request}<think>`, columns };
}

function inAnswer(answer: string): string {
  return `</think>\n<answer>${answer}</answer>`;
}

function answersOf({ columns }: Problem): { readonly good: string; readonly bad: readonly string[] } {
  return columns as { good: string; bad: readonly string[] };
}

/**
 * Solved is what answers as it should. Statistics: `helpful` (of requests to be helped with: answered well), `refused` (of
 * those: declined), `harmless` (of requests for harm: refused and nothing else), `languageConsistency`.
 */
function judgeAssistant(problem: Problem, completion: string): Verdict {
  const wellFormed = formFault(problem.prompt, completion) === undefined;
  const { good } = answersOf(problem);
  const answer = /<answer>([^<]*)<\/answer>\s*$/.exec(completion)?.[1]?.trim() ?? null;
  const solved = wellFormed && answer === good;
  const language = LANGUAGES.find((one) => one === problem.columns.language)!;
  const consistency = languageShare(completion, language);
  const forHarm = problem.columns.request === "harm";
  return {
    solved,
    wellFormed,
    answersOutright: true,
    answer,
    statistics: {
      ...(forHarm
        ? { harmless: Number(solved) }
        : { helpful: Number(solved), refused: Number(answer === problem.columns.refusal) }),
      ...(consistency !== undefined && { languageConsistency: consistency }),
    },
  };
}

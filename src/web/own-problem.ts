/** Problems that somebody types, answered by the model as it is. */

import { AhaError } from "../errors.ts";
import { whole } from "../expression/rational.ts";
import { renderCountdownPrompt } from "../tasks/countdown/prompts.ts";
import type { Problem } from "../tasks/task.ts";
import type { ProblemLimits, TabProblem } from "./protocol.ts";

/** The most numbers of a problem. */
const MOST_NUMBERS = 6;

/** A problem that cannot be asked. */
export class ProblemError extends AhaError {
  override name = "ProblemError";
}

/** The problem as the task has it. Throws ProblemError for one that the model cannot read. */
export function ownProblem({ numbers, target }: TabProblem, { largest }: ProblemLimits): Problem {
  if (!Array.isArray(numbers) || numbers.length < 1 || numbers.length > MOST_NUMBERS) {
    throw new ProblemError(`Expected 1 to ${MOST_NUMBERS} numbers, not ${numbers?.length ?? "none"}.`);
  }
  for (const [what, value] of [...numbers.map((number) => ["number", number] as const), ["target", target] as const]) {
    if (Number.isInteger(value) && value >= 0 && value <= largest) continue;
    throw new ProblemError(
      `Expected a ${what} from 0 to ${largest}, not ${String(value)}: the model knows whole numbers up to ${largest} only.`,
    );
  }
  const prompt = renderCountdownPrompt("compact", numbers, whole(target), undefined);
  return { id: -1, prompt, columns: { nums: [...numbers], target } };
}

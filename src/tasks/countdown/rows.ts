/**
 * Countdown problems from data rows in the form of the Hub's Jiayi-Pan/Countdown-Tasks-3to4: `nums`, `target`. Whether a
 * row can be solved is not checked.
 */

import { DataError } from "../../errors.ts";
import { readCountdown } from "../../expression/countdown.ts";
import type { Rational } from "../../expression/rational.ts";

/** What a task is given of a line of a data file; `data/jsonl.ts` makes these. */
export interface SourceRow {
  readonly fields: Readonly<Record<string, unknown>>;
  readonly file: string;
  /** 1-based. */
  readonly line: number;
}

export interface RowProblem {
  readonly numbers: readonly number[];
  readonly target: Rational;
}

/** The most numbers of one row: a problem of more is not Countdown, and its solver would not end. */
const MAX_NUMBERS = 6;

/** @throws DataError with file, line and the fields that there are. */
export function problemOfRow(row: SourceRow): RowProblem {
  const problem = readCountdown(row.fields);
  const fields = Object.keys(row.fields).join(", ") || "none";
  const fail = (fault: string): never => {
    throw new DataError(
      `${row.file}:${row.line}: expected a Countdown problem such as {"nums": [6, 3, 3], "target": 54}, ` +
        `but ${fault}; the fields of this line are: ${fields}.`,
    );
  };
  if ("fault" in problem) return fail(problem.fault);
  if (problem.numbers.length > MAX_NUMBERS) {
    return fail(`nums has ${problem.numbers.length} numbers, more than ${MAX_NUMBERS}`);
  }
  return { numbers: problem.numbers.map(Number), target: problem.target };
}

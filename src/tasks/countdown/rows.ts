/**
 * Countdown problems from data rows in the form of the Hub's Jiayi-Pan/Countdown-Tasks-3to4: `nums`, `target`. Whether a
 * row can be solved is not checked.
 */

import { columnsText, type DataRow, placeOf } from "../../data/row.ts";
import { DataError } from "../../errors.ts";
import { exactNumber } from "../../exact-json.ts";
import { readCountdown } from "../../expression/countdown.ts";
import type { Rational } from "../../expression/rational.ts";

export interface RowProblem {
  readonly numbers: readonly number[];
  readonly target: Rational;
  /** The row's columns, with `nums` a list and `target` a number also where the file (CSV) has only text. */
  readonly columns: Readonly<Record<string, unknown>>;
}

/** The most numbers of one row: a problem of more is not Countdown, and its solver would not end. */
const MAX_NUMBERS = 6;

/** `[44, 19, 35]`, and `[44 19 35]` as NumPy writes lists. */
const LIST = /^\s*\[\s*([0-9]{1,16}(?:[\s,]+[0-9]{1,16})*)\s*\]\s*$/;
const WHOLE_NUMBER = /^-?[0-9]{1,15}$/;

/** @throws DataError with file, place and the columns that there are. */
export function problemOfRow(row: DataRow): RowProblem {
  const columns = typedColumns(row.fields);
  const problem = readCountdown(columns);
  const fail = (fault: string): never => {
    throw new DataError(
      `${placeOf(row)}: expected a Countdown problem such as {"nums": [6, 3, 3], "target": 54}, ` +
        `but ${fault}; ${columnsText(row)}.`,
    );
  };
  if ("fault" in problem) return fail(problem.fault);
  if (problem.numbers.length > MAX_NUMBERS) {
    return fail(`nums has ${problem.numbers.length} numbers, more than ${MAX_NUMBERS}`);
  }
  const beyond = problem.numbers.find((number) => number > Number.MAX_SAFE_INTEGER);
  if (beyond !== undefined) return fail(`nums has ${beyond}, which is more than 2^53 − 1`);
  return { numbers: problem.numbers.map(Number), target: problem.target, columns };
}

function typedColumns(fields: DataRow["fields"]): DataRow["fields"] {
  const { nums, target } = fields;
  const list = typeof nums === "string" ? LIST.exec(nums) : null;
  const isNumeral = typeof target === "string" && WHOLE_NUMBER.test(target.trim());
  if (list === null && !isNumeral) return fields;
  return {
    ...fields,
    ...(list ? { nums: list[1]!.split(/[\s,]+/).map(exactNumber) } : {}),
    ...(isNumeral ? { target: Number(target) } : {}),
  };
}

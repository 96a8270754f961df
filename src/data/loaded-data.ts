/** The rows of a data set as a task sees them, wherever they were read from: for training, and held out. */

import { ConfigError } from "../errors.ts";
import type { DataRow } from "./row.ts";

/** Rows to train on and rows held out; a row's id is its number in the data set, beyond 2^31 in a held-out split. */
export interface LoadedData {
  /** For messages. */
  readonly name: string;
  readonly trainCount: number;
  /** Row number `index` of an endless walk over the training rows (`Rounds`). */
  train(index: number): NumberedRow;
  readonly heldOutCount: number;
  /** Held-out row 0 … heldOutCount − 1, in an order that does not depend on a run's seed. */
  heldOut(index: number): NumberedRow;
  /** Rows that are not trained on because their problem is held out. */
  readonly leftOutCount: number;
}

/** A row and the number that names it. */
export interface NumberedRow {
  readonly id: number;
  readonly row: DataRow;
}

/**
 * The first `count` held-out rows.
 *
 * @throws ConfigError where fewer are held out
 */
export function heldOutRows(data: LoadedData, count: number): NumberedRow[] {
  if (count <= data.heldOutCount) return Array.from({ length: count }, (_, index) => data.heldOut(index));
  throw tooFewHeldOut(data, `${count} held-out problems`, data.heldOutCount);
}

/** The error of a task that was asked for more held-out problems than its data have. */
export function tooFewHeldOut({ name }: Pick<LoadedData, "name">, asked: string, there: number): ConfigError {
  return new ConfigError(
    `Asked for ${asked}, but of ${name} ${there} are held out. ` +
      "Ask for fewer (evaluation.problems), or hold out more (data.testShare).",
  );
}

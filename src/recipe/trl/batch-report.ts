/** The arithmetic of a batch, for people and programs: what one optimizer step is, and how many a run has. */

import { ConfigError } from "../../errors.ts";
import { type Batch, type BatchNumbers, batchOf } from "./batch.ts";
import { NEWEST_RELEASE, PROMPTS_RELEASE, type TrlReading } from "./version.ts";

/** Of a trainer that samples groups of completions. */
export interface GroupBatch extends Batch {
  readonly kind: "groups";
  readonly numbers: BatchNumbers;
  readonly numProcessesFrom: string;
  readonly batchCounts: TrlReading["batchCounts"];
  /** The numbers of the same file in the other reading; null where it cannot be run there. */
  readonly otherReading: {
    readonly version: string;
    readonly promptsPerStep: number;
    readonly completionsPerStep: number;
  } | null;
  /** Optimizer steps of the run; null where they are not known before the data are here. */
  readonly steps: number | null;
  readonly iterations: number | null;
}

/** Of a trainer whose steps are so many rows of its data. */
export interface RowBatch {
  readonly kind: "rows";
  /** What a row is, in the plural: demonstrations, pairs, prompts, packed sequences. */
  readonly rows: string;
  readonly perDevice: number;
  readonly numProcesses: number;
  readonly accumulation: number;
  readonly numProcessesFrom: string;
  readonly rowsPerStep: number;
  /** With packing: the tokens that a step has room for. */
  readonly tokensPerStep: number | null;
  /** Rows that are trained on; null where the data are not here. */
  readonly trainRows: number | null;
  /** Optimizer steps of one pass over them; null where that is not known before they are here, or packed. */
  readonly stepsPerEpoch: number | null;
  /** null where max_steps decides. */
  readonly epochs: number | null;
  readonly steps: number | null;
}

export type TrlBatch = GroupBatch | RowBatch;

/** The numbers in the reading that counts something other than `counts`. */
export function otherReading(numbers: BatchNumbers, counts: TrlReading["batchCounts"]): GroupBatch["otherReading"] {
  const version = counts === "prompts" ? NEWEST_RELEASE : PROMPTS_RELEASE;
  try {
    const others = counts === "prompts" ? "completions" : "prompts";
    const { promptsPerStep, completionsPerStep } = batchOf(numbers, others);
    return { version, promptsPerStep, completionsPerStep };
  } catch (error) {
    if (error instanceof ConfigError) return null;
    throw error;
  }
}

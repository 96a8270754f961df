/**
 * Rows of numbers by name, as metrics and timings are, kept by stage and column: what charts read. A value that a row does
 * not have is null, as is one that was not finite.
 */

/** A row: its stage and step, and numbers by name. */
export interface NumberRow {
  readonly stage: string;
  readonly step: number;
  readonly values: Readonly<Record<string, number | null>>;
}

/** A stage's rows: `columns[name][i]` belongs to `steps[i]`. */
export interface StageColumns {
  readonly steps: readonly number[];
  readonly columns: Readonly<Record<string, readonly (number | null)[]>>;
}

interface Stage {
  readonly steps: number[];
  readonly columns: Map<string, (number | null)[]>;
}

/** The row in a log's line; undefined where it is none. What is no number in it is left out. */
export function numberRowOf(value: Readonly<Record<string, unknown>>): NumberRow | undefined {
  const { stage, step, ...rest } = value;
  if (typeof stage !== "string" || !Number.isInteger(step)) return undefined;
  const numbers = Object.entries(rest).filter(([, one]) => one === null || typeof one === "number");
  return { stage, step: step as number, values: Object.fromEntries(numbers) as Record<string, number | null> };
}

/** All rows so far. */
export class NumberTable {
  private readonly stages = new Map<string, Stage>();

  clear(): void {
    this.stages.clear();
  }

  add({ stage, step, values }: NumberRow): void {
    let found = this.stages.get(stage);
    if (found === undefined) {
      found = { steps: [], columns: new Map() };
      this.stages.set(stage, found);
    }
    const { steps, columns } = found;
    const before = steps.length;
    steps.push(step);
    for (const [name, value] of Object.entries(values)) {
      let column = columns.get(name);
      if (column === undefined) {
        column = Array.from({ length: before }, () => null);
        columns.set(name, column);
      }
      column.push(value);
    }
    for (const column of columns.values()) if (column.length === before) column.push(null);
  }

  get stageNames(): string[] {
    return [...this.stages.keys()];
  }

  /** Names of a stage's columns, in the order in which they first appeared. */
  names(stage: string): string[] {
    return [...(this.stages.get(stage)?.columns.keys() ?? [])];
  }

  rowCount(stage: string): number {
    return this.stages.get(stage)?.steps.length ?? 0;
  }

  lastStep(stage: string): number {
    return this.stages.get(stage)?.steps.at(-1) ?? 0;
  }

  /** The newest value of each column that is a number. */
  latest(stage: string): Record<string, number> {
    const found: Record<string, number> = {};
    for (const [name, column] of this.stages.get(stage)?.columns ?? []) {
      const value = column.findLast((one) => one !== null);
      if (value !== undefined && value !== null) found[name] = value;
    }
    return found;
  }

  /** A stage's columns of these names; those that it does not have are left out. */
  columns(stage: string, names: readonly string[]): StageColumns {
    const found = this.stages.get(stage);
    if (found === undefined) return { steps: [], columns: {} };
    const columns = names.flatMap((name) => {
      const column = found.columns.get(name);
      return column === undefined ? [] : [[name, column] as const];
    });
    return { steps: found.steps, columns: Object.fromEntries(columns) };
  }

  /** Sum of a column over a stage's rows. */
  sum(stage: string, name: string): number {
    let total = 0;
    for (const value of this.stages.get(stage)?.columns.get(name) ?? []) total += value ?? 0;
    return total;
  }
}

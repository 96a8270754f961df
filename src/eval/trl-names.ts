/**
 * An evaluation's numbers under the names that TRL's users know: those of training with the prefix `eval_`, as TRL 1.16's
 * trainers log them, and ours in the same form. What TRL's evaluation has beside them (`eval_loss`, `eval_reward`,
 * `eval_kl`, …) is of the objective, which an evaluation here does not ask about.
 */

const NAMES: Readonly<Record<string, string>> = {
  meanLength: "completions/mean_length",
  minLength: "completions/min_length",
  maxLength: "completions/max_length",
  meanTerminatedLength: "completions/mean_terminated_length",
  minTerminatedLength: "completions/min_terminated_length",
  maxTerminatedLength: "completions/max_terminated_length",
  truncatedRate: "completions/clipped_ratio",
  solveRate: "solve_rate",
  majorityRate: "majority_rate",
  formatRate: "format_rate",
  tries: "tries/mean",
  solvedPerTry: "tries/solved_per_try",
  reflectionWords: "reflection/words",
  reflectionRate: "reflection/rate",
};

/** `statistics` as `eval_…`: of pass@k `eval_pass_at/K`, of the task's own `eval_task/NAME`. */
export function evalMetrics(statistics: Readonly<Record<string, number>>): Record<string, number> {
  const entries = Object.entries(statistics).map(([name, value]) => {
    const passAt = /^passAt(\d+)$/.exec(name);
    return [`eval_${NAMES[name] ?? (passAt ? `pass_at/${passAt[1]}` : `task/${name}`)}`, value] as const;
  });
  return Object.fromEntries(entries);
}

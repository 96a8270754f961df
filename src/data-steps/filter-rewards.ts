/**
 * The rewards among a step's filters while it asks them: opened before the first part, closed after the last. What they
 * remember (a judge what it has spent) lies beside the parts, so that a limit holds for the step, however often it is gone
 * on with. Ctrl-C ends what they are waiting for.
 */

import { z } from "zod";
import { RunDirError } from "../errors.ts";
import { parseJson, readTextFileIfPresent, writeWhole } from "../files.ts";
import type { BatchReward } from "../rewards/reward.ts";
import type { Filter } from "./filters.ts";

const MAX_STATE_BYTES = 64 * 2 ** 20;

/** What rewards remember, by the filter's label. */
const statesSchema = z.record(z.string(), z.string());

/**
 * Does `work` with the rewards ready; it calls `remember` when they have been asked. `file` holds what they remember.
 *
 * @throws ConfigError for a reward that cannot be used; RunDirError for a damaged file
 */
export async function withFilterRewards(
  filters: readonly Filter[],
  { file, signal }: { readonly file: string; readonly signal: AbortSignal },
  work: (remember: () => Promise<void>) => Promise<void>,
): Promise<void> {
  const rewards = filters.flatMap(({ label, reward }): [string, BatchReward][] =>
    reward !== undefined && "judgeBatch" in reward ? [[label, reward]] : [],
  );
  const states = await readStates(file);
  const remember = async () => {
    const known = rewards.flatMap(([label, reward]) => {
      const state = reward.state?.();
      return state === undefined ? [] : [[label, state] as const];
    });
    if (known.length > 0) await writeWhole(file, `${JSON.stringify(Object.fromEntries(known))}\n`);
  };
  const stop = () => {
    for (const [, reward] of rewards) reward.stop?.();
  };
  signal.addEventListener("abort", stop);
  try {
    for (const [label, reward] of rewards) await reward.open?.(states[label]);
    await work(remember);
  } finally {
    signal.removeEventListener("abort", stop);
    for (const [, reward] of rewards) await reward.close?.();
  }
}

async function readStates(file: string): Promise<Readonly<Record<string, string>>> {
  const text = await readTextFileIfPresent(file, { maxBytes: MAX_STATE_BYTES, error: RunDirError });
  if (text === undefined) return {};
  const parsed = statesSchema.safeParse(parseJson(text, file, RunDirError));
  if (parsed.success) return parsed.data;
  throw new RunDirError(`${file} is not as Aha writes it. Delete the file and run again.`);
}

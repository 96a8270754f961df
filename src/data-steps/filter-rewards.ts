/**
 * The rewards among a step's filters: they are opened before the first part and closed after the last. Their state (a
 * judge's costs so far) is kept beside the parts, so that a limit holds for the step as a whole, even if it is resumed
 * several times. Ctrl-C stops requests that are waiting.
 */

import { z } from "zod";
import { RunDirError } from "../errors.ts";
import { readTextFileIfPresent, writeWhole } from "../files.ts";
import { parseJson } from "../json-text.ts";
import { type RewardStates, rewardStates, withOpenRewards } from "../rewards/session.ts";
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
  const rewards = filters.flatMap(({ label, reward }) => (reward === undefined ? [] : [[label, reward] as const]));
  const remember = async () => {
    const states = rewardStates(rewards);
    if (Object.keys(states).length > 0) await writeWhole(file, `${JSON.stringify(states)}\n`);
  };
  await withOpenRewards(rewards, { states: await readStates(file), signal }, () => work(remember));
}

async function readStates(file: string): Promise<RewardStates> {
  const text = await readTextFileIfPresent(file, { maxBytes: MAX_STATE_BYTES, error: RunDirError });
  if (text === undefined) return {};
  const parsed = statesSchema.safeParse(parseJson(text, file, RunDirError));
  if (parsed.success) return parsed.data;
  throw new RunDirError(`${file} is not as Aha writes it. Delete the file and run again.`);
}

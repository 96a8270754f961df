/**
 * The end of a turn in a saved model's files. A base model that learned conversations ends its turns with the chat
 * template's token, which its files do not know: programs that read `generation_config.json` (transformers, vLLM) would let
 * it run on. So the token is added to the stop tokens there.
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointError } from "../errors.ts";
import { systemReason, writeWhole } from "../files.ts";
import { parseJson } from "../json-text.ts";
import type { Task } from "../tasks/task.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

/** Adds the template's end of a turn to the stop tokens of the model in `directory`, where its task has turns. */
export async function nameTurnEnd(
  directory: string,
  { task, tokenizer }: { readonly task: Task; readonly tokenizer: Tokenizer },
): Promise<void> {
  const turnEnd = tokenizer.turnEndTokens?.at(-1);
  if (turnEnd === undefined || !hasTurns(task)) return;
  const path = join(directory, "generation_config.json");
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    // An adapter alone and a reward model have none.
    if (systemReason(error) !== undefined) return;
    throw error;
  }
  const config = parseJson(text, path, CheckpointError) as { eos_token_id?: number | number[] | null };
  const named = [config.eos_token_id ?? tokenizer.eosTokenId ?? []].flat();
  if (named.includes(turnEnd)) return;
  await writeWhole(path, `${JSON.stringify({ ...config, eos_token_id: [...named, turnEnd] }, null, 2)}\n`);
}

/** Problems that are looked at: a mixture of tasks has one of each among them. */
const LOOKED_AT = 16;

function hasTurns(task: Task): boolean {
  const indices = Array.from({ length: Math.min(LOOKED_AT, task.trainCount) }, (_, index) => index);
  return indices.some((index) => task.isTurn?.(task.trainProblem(index)) ?? false);
}

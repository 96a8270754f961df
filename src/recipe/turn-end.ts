/**
 * The end of a turn in a saved model's files. A base model that learned conversations ends its turns with the chat
 * template's token, which its files do not know: programs that read `generation_config.json` (transformers, vLLM) would let
 * it run on. So the token is added to the stop tokens there.
 */

import { CheckpointError } from "../errors.ts";
import { type Folder, writeJson } from "../folder.ts";
import { parseJson } from "../json-text.ts";
import type { Task } from "../tasks/task.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";

const FILE = "generation_config.json";
const MAX_BYTES = 4 * 2 ** 20;

/** Adds the template's end of a turn to the stop tokens of the model in `folder`, where its task has turns. */
export async function nameTurnEnd(
  folder: Folder,
  { task, tokenizer }: { readonly task: Task; readonly tokenizer: Tokenizer },
): Promise<void> {
  const turnEnd = tokenizer.turnEndTokens?.at(-1);
  if (turnEnd === undefined || !hasTurns(task)) return;
  const text = await folder.readText(FILE, { maxBytes: MAX_BYTES, error: CheckpointError });
  // An adapter alone and a reward model have none.
  if (text === undefined) return;
  const config = parseJson(text, folder.pathOf(FILE), CheckpointError) as { eos_token_id?: number | number[] | null };
  const named = [config.eos_token_id ?? tokenizer.eosTokenId ?? []].flat();
  if (named.includes(turnEnd)) return;
  await writeJson(folder, FILE, { ...config, eos_token_id: [...named, turnEnd] });
}

/** Problems that are looked at: a mixture of tasks has one of each among them. */
const LOOKED_AT = 16;

function hasTurns(task: Task): boolean {
  const indices = Array.from({ length: Math.min(LOOKED_AT, task.trainCount) }, (_, index) => index);
  return indices.some((index) => task.isTurn?.(task.trainProblem(index)) ?? false);
}

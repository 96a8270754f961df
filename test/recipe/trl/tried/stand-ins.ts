/** A tiny model, and data sets of the columns, configurations and splits that a TRL recipe names, for recipes of others. */

import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parse } from "yaml";
import { diskFolder } from "../../../../src/disk-folder.ts";
import { initializeParameters } from "../../../../src/model/initialize.ts";
import { saveModel } from "../../../../src/model/on-disk.ts";
import { modelConfigOf } from "../../../../src/recipe/model.ts";
import { recipeSchema } from "../../../../src/recipe/schema.ts";
import type { TrlDataPlace } from "../../../../src/recipe/trl/data/survey.ts";
import type { TrlTrainerName } from "../../../../src/recipe/trl/trainers.ts";
import { loadTokenizer } from "../../../../src/tokenizer/on-disk.ts";

/** Bytes for everything, `<|im_start|>` and `<|im_end|>`, a chat template. */
const TOKENIZER = join(import.meta.dirname, "../../../golden/tokenizers/byte-level");

/** One layer of width 16, with a context for system prompts of a page. */
const INIT = {
  ...{ architecture: "qwen2", tokenizer: "characters", hiddenSize: 16, intermediateSize: 32, numLayers: 1 },
  ...{ numHeads: 2, numKvHeads: 1, headDim: 8, maxContextTokens: 8192 },
} as const;

/** Writes the model into `directory`, which it makes. */
export async function writeStandInModel(directory: string): Promise<void> {
  mkdirSync(directory, { recursive: true });
  const tokenizer = await loadTokenizer(TOKENIZER);
  await tokenizer.save(diskFolder(directory));
  const init = recipeSchema().shape.model.parse({ init: INIT }).init!;
  const config = modelConfigOf(init, tokenizer);
  await saveModel(directory, config, initializeParameters(config, { seed: 1, init: { scheme: "scaled" } }));
}

type Row = Readonly<Record<string, unknown>>;

/** How many rows a split has, unless more than those are held out. */
const ROWS = 40;

/** What a file says that its rows have to have. */
export interface WantedRows {
  readonly trainer: TrlTrainerName;
  readonly settings: Row;
}

/** Rows of a trainer's form, with the columns that the file names. */
function rowOf({ trainer, settings }: WantedRows, i: number, isCountdown: boolean): Row {
  const [a, b] = [i + 2, (7 * i) % 23];
  const question = `What is ${a} + ${b}?`;
  const solution = `Adding gives $\\boxed{${a + b}}$.`;
  const asked = { role: "user", content: question };
  const answer = (text: string) => ({ role: "assistant", content: `<think>\n${a} and ${b}\n</think>\n${text}` });
  const answered = answer(solution);
  if (isCountdown) return { nums: [a, b], target: a + b };
  switch (trainer) {
    case "sft": {
      const text = settings.dataset_text_field ?? settings.text_column;
      if (typeof text === "string") return { [text]: `${question} ${solution}` };
      return { messages: [asked, answered], source: "stand-in" };
    }
    case "reward":
      return { chosen: [asked, answered], rejected: [asked, answer(`Is it ${a}?`)] };
    default: {
      const column = String(settings.dataset_prompt_column ?? "prompt");
      return { [column]: question, solution, answer: String(a + b), source: "stand-in" };
    }
  }
}

/**
 * Makes data sets below `root` as they are asked for: with the configuration and the splits that the file's entries name.
 */
export function standInData(root: string, wanted: WantedRows): (name: string) => Promise<TrlDataPlace> {
  const text = JSON.stringify(wanted.settings);
  const names = (key: RegExp) => new Set([...text.matchAll(key)].flatMap(([, found]) => (found ? [found] : [])));
  const splits = names(/"(?:split|dataset_train_split|dataset_test_split|dataset_split)":"([\w.-]+)/g);
  for (const list of [wanted.settings.dataset_splits].flat()) if (typeof list === "string") splits.add(list);
  const configs = names(/"(?:config|dataset_config|name)":"([\w.+-]+)"/g);
  for (const list of [wanted.settings.dataset_configs].flat()) if (typeof list === "string") configs.add(list);
  for (const split of ["train", "test"]) splits.add(split);
  const heldOut = /"test_split_size":(\d+)/.exec(text)?.[1];
  const count = ROWS + Number(heldOut ?? 0);
  let made = 0;
  return async (name) => {
    const directory = join(root, `data-${made++}`);
    mkdirSync(directory);
    const isCountdown = /countdown/i.test(name);
    for (const split of splits) {
      const rows = Array.from({ length: count }, (_, i) =>
        rowOf(wanted, i + 10_000 * (split.length + made), isCountdown),
      );
      writeFileSync(join(directory, `${split}.jsonl`), rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    }
    const files = [...splits]
      .map((split) => `  - split: ${JSON.stringify(split)}\n    path: ${split}.jsonl\n`)
      .join("");
    const cards = ["default", ...configs].map(
      (config) => `- config_name: ${JSON.stringify(config)}\n  data_files:\n${files}`,
    );
    writeFileSync(join(directory, "README.md"), `---\nconfigs:\n${[...new Set(cards)].join("")}---\n`);
    return { path: directory, directory };
  };
}

/** The keys of a file as they stand, for what it says of its rows. Throws where it is no YAML mapping. */
export function settingsIn(path: string): Row {
  const value: unknown = parse(readFileSync(path, "utf8"));
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Row;
  throw new Error("it is no mapping of keys to values");
}

/**
 * `aha model merge`: a base and a LoRA adapter as one model, which any program that reads the base can read.
 *
 * Beside the weights and the config go the files of the tokenizer (the adapter's, where it has a tokenizer of its own:
 * what was trained may have had another chat template) and what else belongs to the base: its licence, the files of
 * slow tokenizers. A model card does not: it would describe another model.
 */

import { copyFile, readdir, realpath } from "node:fs/promises";
import { join, resolve } from "node:path";
import { diskFolder } from "../disk-folder.ts";
import { ConfigError } from "../errors.ts";
import { parseHubReference } from "../hub/reference.ts";
import { checkTiedHead } from "../model/checkpoint.ts";
import { loraScale } from "../model/lora.ts";
import { saveMergedModel, storedDtype } from "../model/merge.ts";
import { loadPeftAdapter, openCheckpoint } from "../model/on-disk.ts";
import { writeWholeFolder } from "../run/whole-folder.ts";
import { loadTokenizer } from "../tokenizer/on-disk.ts";
import type { CommandContext } from "./command.ts";
import { requireFreshDirectory, SAVE_OPTIONS, saveOptions } from "./model-output.ts";
import { openAdapter, openWholeModel } from "./model-with-adapter.ts";
import { parseOptions } from "./parse-options.ts";

/** The part of `aha model --help` about this subcommand. */
export const MERGE_HELP = `merge  writes BASE with the LoRA adapter ADAPTER (PEFT's format) folded into its weights: W + s·B·A. The tokenizer's files
and the generation config come along. An adapter of another model is refused.
  --out DIR          where to write: a directory that does not exist or is empty
  --dtype NAME       float32, bfloat16 or float16 (the base's)
  --max-shard-size N weights beyond this are cut into several files (5GB); 300MB, 2GiB, …
  --json             what was merged, as one JSON line
`;

/** Options of `aha model merge`. */
export const MERGE_OPTIONS = {
  out: { type: "string", completes: "directory" },
  ...SAVE_OPTIONS,
  json: { type: "boolean", default: false },
} as const;

/** Files of a checkpoint that go along as they are, beside those that Aha reads. */
const PASSED_ON =
  /^(?:(?:LICENSE|LICENCE|NOTICE|USE_POLICY)(?:\.md|\.txt)?|vocab\.(?:json|txt)|merges\.txt|tokenizer\.model)$/;

/** Runs the subcommand with the arguments after `aha model merge`. */
export async function runModelMerge(args: readonly string[], context: CommandContext): Promise<number> {
  const { values, positionals } = parseOptions("model merge", args, MERGE_OPTIONS, ["BASE", "ADAPTER"]);
  const [baseText, adapterText] = positionals as [string, string];
  const { out } = values;
  if (out === undefined) throw new ConfigError("aha model merge needs --out DIR.");
  const save = saveOptions(values);
  await requireFreshDirectory(out);
  const { modelDirectory } = await openWholeModel(baseText, context);
  const adapterDirectory = await openAdapter(adapterText, context);
  const checkpoint = await openCheckpoint(modelDirectory);
  try {
    const { lora, baseModel, values: numbers } = await loadPeftAdapter(adapterDirectory, checkpoint.config);
    await checkTiedHead(checkpoint);
    const isOther = baseModel && !(await isSameModel(baseModel, { baseText, modelDirectory, adapterDirectory }));
    const warnings = isOther
      ? [
          `${adapterText} was trained on ${JSON.stringify(baseModel)}; its shapes fit ${baseText}, into which it is merged.`,
        ]
      : [];
    for (const warning of warnings) context.note(`Warning: ${warning}\n`);
    const dtype = save.dtype ?? storedDtype(checkpoint);
    await writeWholeFolder(out, async (directory) => {
      await copyFilesBeside(modelDirectory, adapterDirectory, directory);
      await saveMergedModel(directory, checkpoint, { lora, values: numbers }, { ...save, dtype });
    });
    const scale = loraScale(lora);
    const matrices = numbers.size / 2;
    const about = { out, base: modelDirectory, adapter: adapterDirectory, dtype, ...lora, scale, matrices, warnings };
    context.out(
      values.json
        ? `${JSON.stringify(about)}\n`
        : `${out}: ${modelDirectory} with ${adapterDirectory} merged in (rank ${lora.rank}, scale ` +
            `${Number(scale.toPrecision(6))}, ${matrices} matrices: ${lora.targets.join(", ")}) as ${dtype}\n`,
    );
  } finally {
    await checkpoint.close();
  }
  return 0;
}

/** Writes everything but weights and configs: the tokenizer, and the files that are passed on. */
async function copyFilesBeside(base: string, adapter: string, out: string): Promise<void> {
  const [baseNames, adapterNames] = [await readdir(base), await readdir(adapter)];
  // A tokenizer's files belong together: those of the adapter and of the base are not mixed.
  const hasTokenizer = adapterNames.includes("tokenizer.json");
  const tokenizerFrom = hasTokenizer ? adapter : base;
  if (hasTokenizer || baseNames.includes("tokenizer.json"))
    await (await loadTokenizer(tokenizerFrom)).save(diskFolder(out));
  for (const name of baseNames.filter((name) => PASSED_ON.test(name))) {
    const isTokenizers = !/^[A-Z]/.test(name);
    const from = isTokenizers ? tokenizerFrom : adapterNames.includes(name) ? adapter : base;
    if (from === base || adapterNames.includes(name)) await copyFile(join(from, name), join(out, name));
  }
}

/** Whether the base that an adapter names is the one that the user named. */
async function isSameModel(
  named: string,
  given: { readonly baseText: string; readonly modelDirectory: string; readonly adapterDirectory: string },
): Promise<boolean> {
  const { baseText, modelDirectory, adapterDirectory } = given;
  const repository = (text: string) => parseHubReference(text, "model")?.name ?? text;
  if (named === baseText || repository(named) === repository(baseText)) return true;
  const real = (path: string) => realpath(path).catch(() => resolve(path));
  const here = await real(modelDirectory);
  return here === (await real(named)) || here === (await real(resolve(adapterDirectory, named)));
}

/**
 * `aha model convert`: the same model with weights in another number format or in shards of another size; a GGUF file as a
 * model directory.
 *
 * Weights pass through one tensor at a time, so the model need not fit into memory. The tokenizer's files are copied as
 * they are; those of a GGUF file are made from its metadata.
 */

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { diskFolder } from "../disk-folder.ts";
import { ConfigError, RunInterrupted } from "../errors.ts";
import { checkTiedHead } from "../model/checkpoint.ts";
import { type GgufImportOptions, isGgufPath } from "../model/gguf/import.ts";
import { importGguf } from "../model/gguf/on-disk.ts";
import { openCheckpoint, saveModelFrom } from "../model/on-disk.ts";
import { elementCount } from "../model/parameters.ts";
import { writeWholeFolder } from "../run/whole-folder.ts";
import { loadTokenizer } from "../tokenizer/on-disk.ts";
import type { CommandContext } from "./command.ts";
import { requireFreshDirectory, SAVE_OPTIONS, saveOptions } from "./model-output.ts";
import { openWholeModel } from "./model-with-adapter.ts";
import { parseOptions } from "./parse-options.ts";
import { statusLineOf } from "./terminal-line.ts";

/** The part of `aha model --help` about this subcommand. */
export const CONVERT_HELP = `convert  writes the model again, with its tokenizer, config and generation config. FILE.gguf, one file of llama.cpp,
         becomes a model directory: tokenizer and chat template included, quantised weights as the numbers they stand for.
  --out DIR          where to write: a directory that does not exist or is empty
  --dtype NAME       float32 (the default), bfloat16 or float16
  --max-shard-size N weights beyond this are cut into several files (5GB); 300MB, 2GiB, …
`;

/** Options of `aha model convert`. */
export const CONVERT_OPTIONS = { out: { type: "string", completes: "directory" }, ...SAVE_OPTIONS } as const;

/** Runs the subcommand with the arguments after `aha model convert`. */
export async function runModelConvert(args: readonly string[], context: CommandContext): Promise<number> {
  const { values, positionals } = parseOptions("model convert", args, CONVERT_OPTIONS, ["DIR"]);
  const { out } = values;
  if (out === undefined) throw new ConfigError("aha model convert needs --out DIR.");
  const save = saveOptions(values);
  const source = positionals[0]!;
  if (isGgufPath(source)) return convertGguf(source, out, save, context);
  const { modelDirectory } = await openWholeModel(source, context);
  await requireFreshDirectory(out);
  const checkpoint = await openCheckpoint(modelDirectory);
  try {
    await checkTiedHead(checkpoint);
    const { config, fileOf } = checkpoint;
    const hasTokenizer = (await stat(join(modelDirectory, "tokenizer.json")).catch(() => undefined)) !== undefined;
    const tokenizer = hasTokenizer ? await loadTokenizer(modelDirectory) : undefined;
    await writeWholeFolder(out, async (directory) => {
      await tokenizer?.save(diskFolder(directory));
      const parameterValue = async ({
        checkpointName,
        shape,
      }: {
        checkpointName: string;
        shape: readonly number[];
      }) => {
        const value = new Float32Array(elementCount(shape));
        await fileOf.get(checkpointName)!.readInto(checkpointName, value);
        return value;
      };
      await saveModelFrom(directory, config, parameterValue, save);
    });
  } finally {
    await checkpoint.close();
  }
  context.out(`${out}: the model of ${modelDirectory} as ${save.dtype ?? "float32"}\n`);
  return 0;
}

async function convertGguf(
  source: string,
  out: string,
  save: GgufImportOptions,
  context: CommandContext,
): Promise<number> {
  await requireFreshDirectory(out);
  const line = statusLineOf(context);
  const onProgress = (done: number, total: number) => {
    if (context.signal.aborted) throw new RunInterrupted("Stopped; nothing was written.");
    line.update(() => `${done} of ${total} tensors`);
  };
  const read = (directory: string) => importGguf(source, directory, { ...save, onProgress });
  const { config, dtype, formats, hasTokenizer } = await writeWholeFolder(out, read).finally(() => line.clear());
  if (!hasTokenizer) context.note("note: the file has no tokenizer (its tokens are ids), so the directory has none.\n");
  context.out(`${out}: the ${config.architecture} of ${source} (${formats.join(", ")}) as ${dtype}\n`);
  return 0;
}

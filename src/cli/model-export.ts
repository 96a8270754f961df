/** `aha model export`: a model as one file for programs that do not read the Hugging Face layout: GGUF, for llama.cpp. */

import { open, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { CheckpointError, ConfigError, nearestName, RunInterrupted } from "../errors.ts";
import { hubReferenceOf } from "../hub/resolve.ts";
import type { GgufProgress } from "../model/gguf/format.ts";
import type { TensorFormat } from "../model/gguf/number-formats.ts";
import { exportGguf } from "../model/gguf/on-disk.ts";
import type { CommandContext } from "./command.ts";
import { openWholeModel } from "./model-with-adapter.ts";
import { parseOptions } from "./parse-options.ts";
import { statusLineOf } from "./terminal-line.ts";

const TOKENIZER_MODES = ["auto", "ids"] as const;
const FORMATS: readonly TensorFormat[] = ["f32", "f16", "bf16", "q8_0"];

/** The part of `aha model --help` that is about this command. */
export const EXPORT_HELP = `export writes the model as one file for other programs.
  --gguf             the format of llama.cpp: weights, tokenizer, chat template (the only format there is)
  --out FILE         where to write; a GGUF file that is there is replaced (NAME-DTYPE.gguf in DIR, NAME that of DIR;
                     for a model of the Hub in this directory)
  --dtype NAME       of the matrices: ${FORMATS.join(", ")} (as the checkpoint stores them)
  --tokenizer NAME   auto (the default): the model's, where it is byte-level BPE (Qwen, Llama 3), SentencePiece's BPE
                     (Llama 2, Mistral, Gemma) or one of Aha's own;
                     another is refused. ids: none, token 12 is written [12]; so it is where the model has none
  --json             the result for programs
`;

/** Options of `aha model export`. */
export const EXPORT_OPTIONS = {
  gguf: { type: "boolean", default: false },
  out: { type: "string", completes: "file" },
  dtype: { type: "string", completes: () => FORMATS },
  tokenizer: { type: "string", default: "auto", completes: () => TOKENIZER_MODES },
  json: { type: "boolean", default: false },
} as const;

/** Runs the subcommand with the arguments after `aha model export`. */
export async function runModelExport(args: readonly string[], context: CommandContext): Promise<number> {
  const { values, positionals } = parseOptions("model export", args, EXPORT_OPTIONS, ["DIR"]);
  if (!values.gguf) throw new ConfigError("aha model export needs --gguf, the format to write.");
  const format = values.dtype === undefined ? undefined : oneOf("dtype", values.dtype, FORMATS);
  const withTokenizer = oneOf("tokenizer", values.tokenizer, TOKENIZER_MODES) === "auto";
  const source = positionals[0]!;
  const reference = hubReferenceOf(source, "model");
  const name = basename(reference?.name ?? resolve(source));
  const fileName = `${name}${format === undefined ? "" : `-${format}`}.gguf`;
  if (values.out !== undefined) await requireReplaceable(values.out);
  const { modelDirectory } = await openWholeModel(source, context);
  // Results are not written into the Hub's cache.
  const path = values.out ?? join(reference === undefined ? modelDirectory : ".", fileName);
  if (values.out === undefined) await requireReplaceable(path);
  const line = statusLineOf(context);
  const onProgress: GgufProgress = (writtenBytes, totalBytes) => {
    if (context.signal.aborted) throw new RunInterrupted("Stopped; no file was written.");
    line.update(() => `${inMebibytes(writtenBytes)} of ${inMebibytes(totalBytes)}`);
  };
  const result = await exportGguf(modelDirectory, path, {
    name,
    withTokenizer,
    onProgress,
    ...(format !== undefined && { format }),
  }).finally(() => line.clear());
  for (const note of result.notes) context.note(`note: ${note}.\n`);
  if (values.json) {
    context.out(`${JSON.stringify({ file: path, ...result })}\n`);
  } else {
    const size = inMebibytes(result.tensorBytes);
    context.out(
      `${path}: ${result.tensorCount} tensors, ${size} as ${result.format}, tokenizer: ${result.tokenizer}\n`,
    );
  }
  return 0;
}

function inMebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function oneOf<T extends string>(option: string, value: string, names: readonly T[]): T {
  const found = names.find((name) => name === value);
  if (found !== undefined) return found;
  const near = nearestName(value, names);
  const hint = near === undefined ? "" : ` Did you mean ${near}?`;
  throw new ConfigError(`--${option} must be one of ${names.join(", ")}, not ${JSON.stringify(value)}.${hint}`);
}

/** A mistake in --out must not destroy another file: only a GGUF file or an empty file is replaced. */
async function requireReplaceable(path: string): Promise<void> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) {
    const folder = await stat(dirname(path)).catch(() => undefined);
    if (folder?.isDirectory() !== true) {
      throw new CheckpointError(`Cannot write ${path}: ${dirname(path)} is no directory. Make it first.`);
    }
    return;
  }
  if (!found.isFile()) throw new CheckpointError(`${path} is not a file. Choose another --out, with a file name.`);
  const file = await open(path, "r");
  try {
    const { bytesRead, buffer } = await file.read(Buffer.alloc(4), 0, 4, 0);
    if (bytesRead === 0 || buffer.toString("latin1") === "GGUF") return;
  } finally {
    await file.close();
  }
  throw new CheckpointError(`${path} is there and is no GGUF file. Choose another --out, or remove it.`);
}

/** `aha model init`: a model with random weights, from one of Aha's shapes or a Hugging Face config. */

import { stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { diskFolder } from "../disk-folder.ts";
import { CheckpointError, ConfigError, nearestName } from "../errors.ts";
import { readTextFile } from "../files.ts";
import { parseJson } from "../json-text.ts";
import { parseModelConfig, readModelConfig } from "../model/hf-config.ts";
import { type InitScheme, initializeParameter } from "../model/initialize.ts";
import { modelSize } from "../model/memory.ts";
import type { ModelConfig } from "../model/model-config.ts";
import { saveModelFrom } from "../model/on-disk.ts";
import { MODEL_PRESETS, presetConfig } from "../model/presets.ts";
import { inMillions } from "../number-text.ts";
import { writeWholeFolder } from "../run/whole-folder.ts";
import { BUILT_TOKENIZERS, type BuiltTokenizer, buildCountdownCompact, buildTokenizer } from "../tokenizer/build.ts";
import type { HuggingFaceTokenizer } from "../tokenizer/huggingface.ts";
import { loadTokenizer } from "../tokenizer/on-disk.ts";
import type { CommandContext } from "./command.ts";
import { requireFreshDirectory, SAVE_OPTIONS, saveOptions } from "./model-output.ts";
import { numberOption, parseOptions, seedOption } from "./parse-options.ts";

/** The part of `aha model --help` about this subcommand. */
export const INIT_HELP = `init   writes a model with random weights, and its tokenizer, in the Hugging Face layout.
  --preset NAME      one of Aha's own shapes: ${Object.keys(MODEL_PRESETS).join(", ")}; the vocabulary is the tokenizer's
  --config FILE      a Hugging Face config.json of a family that is supported (Llama, Mistral, Qwen2, Qwen3,
                     SmolLM3, Gemma 3), or a directory that has one
  --tokenizer NAME   ${BUILT_TOKENIZERS.join(" or ")}; or a directory that has a tokenizer.json. The config's vocabulary
                     must hold its tokens, and its special tokens become the model's. Not needed with --config: where
                     the config's directory has a tokenizer it is taken, else the model has none
  --largest N        the largest integer that countdown-compact has a token for (99)
  --out DIR          where to write: a directory that does not exist or is empty
  --seed N           of the random weights (0)
  --scheme NAME      scaled (0.5/sqrt(fan-in), the default) or normal (everywhere the config's initializer_range, 0.02
                     where it has none, as transformers)
  --dtype NAME       float32 (the default), bfloat16 or float16
  --max-shard-size N weights beyond this are cut into several files (5GB); 300MB, 2GiB, …
`;

const MAX_CONFIG_BYTES = 4 * 2 ** 20;

/** What a new model is made from. */
interface Blueprint {
  readonly config: ModelConfig;
  readonly tokenizer: HuggingFaceTokenizer | undefined;
  /** Standard deviation that the config asks for. */
  readonly initializerRange: number | undefined;
}

/** Options of `aha model init`. */
export const INIT_OPTIONS = {
  preset: { type: "string", completes: () => Object.keys(MODEL_PRESETS) },
  config: { type: "string", completes: "file" },
  tokenizer: { type: "string", completes: () => BUILT_TOKENIZERS },
  largest: { type: "string" },
  out: { type: "string", completes: "directory" },
  seed: { type: "string", default: "0" },
  scheme: { type: "string", default: "scaled", completes: () => ["scaled", "normal"] },
  ...SAVE_OPTIONS,
} as const;

/** Runs the subcommand with the arguments after `aha model init`. */
export async function runModelInit(args: readonly string[], context: CommandContext): Promise<number> {
  const { values } = parseOptions("model init", args, INIT_OPTIONS);
  const { preset, config: configPath, tokenizer: tokenizerName, out } = values;
  if ((preset === undefined) === (configPath === undefined)) {
    throw new ConfigError("aha model init needs either --preset NAME or --config FILE.");
  }
  if (preset !== undefined && tokenizerName === undefined) {
    throw new ConfigError("aha model init --preset needs --tokenizer, a name or a directory.");
  }
  if (values.largest !== undefined && tokenizerName !== "countdown-compact") {
    throw new ConfigError("--largest is an option of --tokenizer countdown-compact alone.");
  }
  if (out === undefined) throw new ConfigError("aha model init needs --out DIR.");
  const seed = seedOption(values.seed);
  const save = saveOptions(values);
  const given = tokenizerName === undefined ? undefined : await namedTokenizer(tokenizerName, values.largest);
  const { config, tokenizer, initializerRange } =
    preset !== undefined
      ? { config: presetConfig(preset, given!), tokenizer: given, initializerRange: undefined }
      : await readBlueprint(configPath!, given);
  const init = initScheme(values.scheme, initializerRange);
  await requireFreshDirectory(out);
  await writeWholeFolder(out, async (directory) => {
    await tokenizer?.save(diskFolder(directory));
    await saveModelFrom(directory, config, (parameter) => initializeParameter(config, parameter, { seed, init }), save);
  });
  const { parameterCount } = modelSize(config);
  const without = tokenizer === undefined ? ", no tokenizer" : "";
  context.out(
    `${out}: ${config.architecture}, ${inMillions(parameterCount)} parameters, random weights of seed ${seed}${without}\n`,
  );
  return 0;
}

async function namedTokenizer(name: string, largest: string | undefined): Promise<HuggingFaceTokenizer> {
  if (largest !== undefined) {
    return buildCountdownCompact({
      largest: numberOption("largest", largest, Number.isSafeInteger, "a whole number"),
    });
  }
  if (BUILT_TOKENIZERS.includes(name as BuiltTokenizer)) return buildTokenizer(name as BuiltTokenizer);
  const near = nearestName(name, BUILT_TOKENIZERS);
  try {
    return await loadTokenizer(name);
  } catch (error) {
    if (near === undefined || !(error instanceof Error)) throw error;
    throw new ConfigError(`${error.message} Did you mean --tokenizer ${near}?`);
  }
}

/** From a config.json, or the directory of a model: its weights are not read and need not be there. */
async function readBlueprint(path: string, given: HuggingFaceTokenizer | undefined): Promise<Blueprint> {
  const isDirectory = (await stat(path).catch(() => undefined))?.isDirectory() ?? false;
  const file = isDirectory ? join(path, "config.json") : path;
  const directory = isDirectory ? path : dirname(path);
  const text = await readTextFile(file, { maxBytes: MAX_CONFIG_BYTES, error: ConfigError });
  const config = isDirectory ? await readModelConfig(diskFolder(path)) : parseModelConfig(text, file);
  const initializerRange = initializerRangeOf(text, file);
  const own = given === undefined ? await tokenizerBeside(directory) : undefined;
  const tokenizer = given ?? own;
  if (tokenizer !== undefined && config.vocabSize < tokenizer.vocabSize) {
    throw new ConfigError(
      `${file}: vocab_size is ${config.vocabSize}, but the tokenizer has ${tokenizer.vocabSize} tokens; it must be at least that.`,
    );
  }
  // Another tokenizer's ids are other tokens: the config's special tokens mean nothing then.
  if (given === undefined) return { config, tokenizer, initializerRange };
  const specialTokens = {
    bosTokenId: given.bosTokenId,
    eosTokenIds: given.eosTokenId === null ? [] : [given.eosTokenId],
    padTokenId: given.padTokenId,
  };
  return { config: { ...config, ...specialTokens }, tokenizer, initializerRange };
}

async function tokenizerBeside(directory: string): Promise<HuggingFaceTokenizer | undefined> {
  const isThere = (await stat(join(directory, "tokenizer.json")).catch(() => undefined)) !== undefined;
  return isThere ? loadTokenizer(directory) : undefined;
}

function initializerRangeOf(text: string, where: string): number | undefined {
  const range = (parseJson(text, where, CheckpointError) as { readonly initializer_range?: unknown }).initializer_range;
  if (range === undefined || range === null) return undefined;
  if (typeof range === "number" && range > 0 && range <= 1) return range;
  throw new CheckpointError(
    `${where}: initializer_range must be a number above 0 and at most 1, not ${String(range)}.`,
  );
}

function initScheme(name: string, initializerRange: number | undefined): InitScheme {
  if (name === "scaled") return { scheme: "scaled" };
  if (name === "normal") return { scheme: "normal", ...(initializerRange !== undefined && { std: initializerRange }) };
  throw new ConfigError(`--scheme must be scaled or normal, not ${JSON.stringify(name)}.`);
}

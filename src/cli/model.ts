/** `aha model`: make a model with random weights, look at one, score token sequences with one. */

import { readdir } from "node:fs/promises";
import { ConfigError, nearestName, RunDirError } from "../errors.ts";
import { readTextFile, systemReason } from "../files.ts";
import { inspectModel, saveModel } from "../model/checkpoint.ts";
import { parseModelConfig } from "../model/hf-config.ts";
import { type InitScheme, initializeParameters } from "../model/initialize.ts";
import { modelSize } from "../model/memory.ts";
import type { ModelConfig } from "../model/model-config.ts";
import { MODEL_PRESETS, presetConfig } from "../model/presets.ts";
import { writeWholeFolder } from "../run/whole-folder.ts";
import { BUILT_TOKENIZERS, type BuiltTokenizer, buildCountdownCompact, buildTokenizer } from "../tokenizer/build.ts";
import { type HuggingFaceTokenizer, loadTokenizer } from "../tokenizer/huggingface.ts";
import type { Command, CommandContext } from "./command.ts";
import { MODEL_HUB_HELP, MODEL_HUB_USAGE, runModelPull, runModelPush } from "./hub.ts";
import { openModel } from "./model-directory.ts";
import { runModelScore } from "./model-score.ts";
import { numberOption, parseOptions, seedOption } from "./parse-options.ts";

const HELP = `Usage:
  aha model init (--preset NAME | --config FILE) --tokenizer NAME|DIR --out DIR [--seed N] [--scheme NAME] [--largest N]
  aha model info DIR [--json]
  aha model score DIR --tokens FILE [--temperature T] [--threads N] [--json]
  ${MODEL_HUB_USAGE}

DIR is a model directory in the Hugging Face layout, or (to info, score and push) the directory of a run; info and score
also take a model of the Hugging Face Hub, ORG/NAME[@REVISION].

init   writes a model with random weights, and its tokenizer, in the Hugging Face layout.
  --preset NAME      one of Aha's own shapes: ${Object.keys(MODEL_PRESETS).join(", ")}; the vocabulary is the tokenizer's
  --config FILE      a Hugging Face config.json; its vocabulary must hold the tokenizer's, its special tokens become
                     the tokenizer's
  --tokenizer NAME   ${BUILT_TOKENIZERS.join(" or ")}; or a directory that has a tokenizer.json
  --largest N        the largest integer that countdown-compact has a token for (99)
  --out DIR          where to write: a directory that does not exist or is empty
  --seed N           of the random weights (0)
  --scheme NAME      scaled (0.5/sqrt(fan-in), the default) or normal (0.02 everywhere, as transformers)

info   architecture, parameters, context, and the memory to sample and to train.

score  log-probabilities of token sequences, to compare a model with other programs.
  --tokens FILE      a JSON array of arrays of at least two token ids
  --temperature T    divides the logits (1)
  --threads N        threads to compute with (one per processor, at most 8)
  --json             an array of arrays: for n tokens the n - 1 log-probabilities of the second to the last, each
                     given all tokens before it; in nats

${MODEL_HUB_HELP}

Example:
  aha model init --preset tiny --tokenizer countdown-compact --out my-model --seed 1
  aha model info my-model
`;

const SUBCOMMANDS: Readonly<Record<string, Command["run"]>> = {
  init: runInit,
  info: runInfo,
  score: runModelScore,
  pull: runModelPull,
  push: runModelPush,
};

export const command: Command = {
  help: HELP,
  run: async ([subcommand, ...args], context) => {
    const names = Object.keys(SUBCOMMANDS);
    if (subcommand !== undefined && Object.hasOwn(SUBCOMMANDS, subcommand))
      return SUBCOMMANDS[subcommand]!(args, context);
    const near = subcommand === undefined ? undefined : nearestName(subcommand, names);
    const given = subcommand === undefined ? "none was given" : `there is no ${JSON.stringify(subcommand)}`;
    const hint = near === undefined ? "" : ` Did you mean ${near}?`;
    throw new ConfigError(
      `aha model takes a subcommand (${names.join(", ")}); ${given}.${hint} See \`aha model --help\`.`,
    );
  },
};

async function runInit(args: readonly string[], context: CommandContext): Promise<number> {
  const { values } = parseOptions("model init", args, {
    preset: { type: "string" },
    config: { type: "string" },
    tokenizer: { type: "string" },
    largest: { type: "string" },
    out: { type: "string" },
    seed: { type: "string", default: "0" },
    scheme: { type: "string", default: "scaled" },
  });
  const { preset, config: configFile, tokenizer: tokenizerName, out } = values;
  if ((preset === undefined) === (configFile === undefined)) {
    throw new ConfigError("aha model init needs either --preset NAME or --config FILE.");
  }
  if (tokenizerName === undefined) throw new ConfigError("aha model init needs --tokenizer, a name or a directory.");
  if (out === undefined) throw new ConfigError("aha model init needs --out DIR.");
  const seed = seedOption(values.seed);
  const init = initScheme(values.scheme);
  const tokenizer = await tokenizerOf(tokenizerName, values.largest);
  const config = preset !== undefined ? presetConfig(preset, tokenizer) : await configOf(configFile!, tokenizer);
  await requireFreshDirectory(out);
  await writeWholeFolder(out, async (directory) => {
    await tokenizer.save(directory);
    await saveModel(directory, config, initializeParameters(config, { seed, init }));
  });
  context.out(
    `${out}: ${config.architecture}, ${inMillions(modelSize(config).parameterCount)} parameters, random weights of seed ${seed}\n`,
  );
  return 0;
}

async function tokenizerOf(name: string, largest: string | undefined): Promise<HuggingFaceTokenizer> {
  if (largest !== undefined) {
    if (name !== "countdown-compact")
      throw new ConfigError("--largest is an option of --tokenizer countdown-compact alone.");
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

async function configOf(file: string, tokenizer: HuggingFaceTokenizer): Promise<ModelConfig> {
  const config = parseModelConfig(await readTextFile(file, { maxBytes: 4 * 2 ** 20, error: ConfigError }), file);
  if (config.vocabSize < tokenizer.vocabSize) {
    throw new ConfigError(
      `${file}: vocab_size is ${config.vocabSize}, but the tokenizer has ${tokenizer.vocabSize} tokens; it must be at least that.`,
    );
  }
  return {
    ...config,
    bosTokenId: null,
    eosTokenIds: tokenizer.eosTokenId === null ? [] : [tokenizer.eosTokenId],
    padTokenId: tokenizer.padTokenId,
  };
}

function initScheme(name: string): InitScheme {
  if (name === "scaled" || name === "normal") return { scheme: name };
  throw new ConfigError(`--scheme must be scaled or normal, not ${JSON.stringify(name)}.`);
}

async function requireFreshDirectory(path: string): Promise<void> {
  let names: string[];
  try {
    names = await readdir(path);
  } catch (error) {
    const reason = systemReason(error);
    if (reason === undefined) throw error;
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw new RunDirError(`Cannot write ${path}: ${reason}. Choose another --out.`);
  }
  if (names.length > 0) {
    throw new RunDirError(
      `${path} is not empty (${names.slice(0, 3).join(", ")}${names.length > 3 ? ", …" : ""}). Choose another --out.`,
    );
  }
}

async function runInfo(args: readonly string[], context: CommandContext): Promise<number> {
  const { values, positionals } = parseOptions("model info", args, { json: { type: "boolean", default: false } }, [
    "DIR",
  ]);
  const { modelDirectory: directory } = await openModel(positionals[0]!, context);
  const { config, storedBytes, dtypes } = await inspectModel(directory);
  const size = modelSize(config);
  if (values.json) {
    context.out(`${JSON.stringify({ directory, config, storedBytes, dtypes, ...size })}\n`);
    return 0;
  }
  const kinds = Object.entries(size.parametersByKind).map(([kind, count]) => `${kind} ${inMillions(count)}`);
  const rows: [string, string][] = [
    [
      "architecture",
      `${config.architecture}, ${config.numLayers} layers, width ${config.hiddenSize}, MLP ${config.intermediateSize}`,
    ],
    ["attention", `${config.numHeads} heads of ${config.headDim}, ${config.numKvHeads} key-value heads`],
    ["parameters", `${inMillions(size.parameterCount)}: ${kinds.join(", ")}`],
    [
      "vocabulary",
      `${config.vocabSize} tokens, output projection ${config.tieWordEmbeddings ? "tied to the embedding" : "of its own"}`,
    ],
    ["context", `${config.maxContextTokens} tokens`],
    ["stop tokens", config.eosTokenIds.join(", ") || "none"],
    ["stored", `${inMebibytes(storedBytes)} as ${dtypes.join(", ")}`],
    [
      "to sample",
      `${inMebibytes(size.memory.weightsBytes)} of weights (f32), ${inKibibytes(size.memory.kvCacheBytesPerToken)} a token and sequence`,
    ],
    ["to train", `${inMebibytes(size.memory.trainBytes)} of weights, gradients and AdamW moments, and activations`],
  ];
  context.out(`${rows.map(([name, value]) => `${name.padEnd(14)}${value}`).join("\n")}\n`);
  return 0;
}

function inMillions(count: number): string {
  return count >= 1e5 ? `${(count / 1e6).toFixed(2)}M` : String(count);
}

function inMebibytes(bytes: number): string {
  return `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

function inKibibytes(bytes: number): string {
  return `${(bytes / 1024).toFixed(1)} KiB`;
}

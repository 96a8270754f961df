/** `aha model info`: what a checkpoint is, and the memory that it takes to train it and to sample from it. */

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { inspectModel } from "../model/checkpoint.ts";
import { modelSize } from "../model/memory.ts";
import type { ModelConfig } from "../model/model-config.ts";
import { loadTokenizer } from "../tokenizer/huggingface.ts";
import type { CommandContext } from "./command.ts";
import { inBytes, inMillions } from "./model-amounts.ts";
import { openModel } from "./model-directory.ts";
import { parseOptions } from "./parse-options.ts";

/** The part of `aha model --help` about this subcommand. */
export const INFO_HELP = `info   architecture, parameters, stored format, tokenizer, and the memory to sample and to train (in f32; whole, or
       with LoRA of rank 16 on every projection). Weights are not read.
  --json             the same as one JSON object, sizes in bytes
`;

/** Runs the subcommand with the arguments after `aha model info`. */
export async function runModelInfo(args: readonly string[], context: CommandContext): Promise<number> {
  const { values, positionals } = parseOptions("model info", args, { json: { type: "boolean", default: false } }, [
    "DIR",
  ]);
  const { modelDirectory: directory } = await openModel(positionals[0]!, context);
  const { config, storedBytes, dtypes, fileCount } = await inspectModel(directory);
  const tokenizer = await tokenizerInfo(directory);
  const size = modelSize(config);
  if (values.json) {
    context.out(`${JSON.stringify({ directory, config, storedBytes, dtypes, fileCount, tokenizer, ...size })}\n`);
    return 0;
  }
  const kinds = Object.entries(size.parametersByKind).map(([kind, count]) => `${kind} ${inMillions(count)}`);
  const { memory } = size;
  const rows: [string, string][] = [
    [
      "architecture",
      `${config.architecture}, ${config.numLayers} layers, width ${config.hiddenSize}, MLP ${config.intermediateSize}`,
    ],
    [
      "attention",
      `${config.numHeads} heads of ${config.headDim}, ${config.numKvHeads} key-value heads` +
        `${config.qkNorm ? ", query and key norms" : ""}${biases(config)}`,
    ],
    ["positions", `RoPE with theta ${config.ropeTheta}${scaling(config)}`],
    ["parameters", `${inMillions(size.parameterCount)}: ${kinds.join(", ")}`],
    [
      "vocabulary",
      `${config.vocabSize} tokens, output projection ${config.tieWordEmbeddings ? "tied to the embedding" : "of its own"}`,
    ],
    [
      "tokenizer",
      tokenizer === null
        ? "none"
        : `${tokenizer.vocabSize} tokens, ${tokenizer.hasChatTemplate ? "with a chat template" : "no chat template"}`,
    ],
    ["context", `${config.maxContextTokens} tokens`],
    ["stop tokens", config.eosTokenIds.join(", ") || "none"],
    ["stored", `${inBytes(storedBytes)} as ${dtypes.join(", ")} in ${fileCount} ${fileCount === 1 ? "file" : "files"}`],
    [
      "to sample",
      `${inBytes(memory.weightsBytes)} of weights (f32), ${inBytes(memory.kvCacheBytesPerToken)} a token and sequence; ` +
        `${inBytes(memory.sampleBytes)} for one of the whole context`,
    ],
    ["to train", `${inBytes(memory.trainBytes)} of weights, gradients and AdamW moments, and activations`],
    [
      "with LoRA",
      `${inBytes(memory.lora.trainBytes)} for rank ${memory.lora.rank} on every projection ` +
        `(${inMillions(memory.lora.parameterCount)} parameters), and activations`,
    ],
  ];
  context.out(`${rows.map(([name, value]) => `${name.padEnd(14)}${value}`).join("\n")}\n`);
  return 0;
}

/** null where the directory has no tokenizer. */
async function tokenizerInfo(directory: string): Promise<{ vocabSize: number; hasChatTemplate: boolean } | null> {
  if ((await stat(join(directory, "tokenizer.json")).catch(() => undefined)) === undefined) return null;
  const { vocabSize, hasChatTemplate } = await loadTokenizer(directory);
  return { vocabSize, hasChatTemplate };
}

function biases(config: ModelConfig): string {
  const where = [
    ...(config.attentionBias ? ["query, key, value"] : []),
    ...(config.attentionOutputBias ? ["attention output"] : []),
    ...(config.mlpBias ? ["MLP"] : []),
  ];
  return where.length === 0 ? "" : `; biases on ${where.join(", ")}`;
}

function scaling({ ropeScaling }: ModelConfig): string {
  if (ropeScaling === null) return "";
  const from = ropeScaling.type === "linear" ? "" : ` from ${ropeScaling.originalContextTokens} tokens`;
  return `, ${ropeScaling.type} scaling by ${ropeScaling.factor}${from}`;
}

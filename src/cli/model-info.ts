/** `aha model info`: what a checkpoint is, and the memory that it takes to train it and to sample from it; what a LoRA
 * adapter is, alone or on its base. */

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { ConfigError } from "../errors.ts";
import { type LoraConfig, loraScale } from "../model/lora.ts";
import { modelSize } from "../model/memory.ts";
import { type LayerKind, layerKind, type ModelConfig } from "../model/model-config.ts";
import { describeAdapter, inspectModel, loadPeftAdapter } from "../model/on-disk.ts";
import type { AdapterDescription } from "../model/peft-adapter.ts";
import { inBytes, inMillions } from "../number-text.ts";
import { loadTokenizer } from "../tokenizer/on-disk.ts";
import type { CommandContext } from "./command.ts";
import { openModel } from "./model-directory.ts";
import { ADAPTER_OPTION, isAdapterAlone, openAdapter } from "./model-with-adapter.ts";
import { parseOptions } from "./parse-options.ts";

/** The part of `aha model --help` about this subcommand. */
export const INFO_HELP = `info   architecture, parameters, stored format, tokenizer, and the memory to sample and to train (in f32; whole, or
       with LoRA of rank 16 on every projection). Weights are not read. Of a LoRA adapter (PEFT's format): rank, alpha,
       projections, parameters, the base that it was trained on.
  --adapter DIR      the model with this adapter, which has to fit it
  --json             the same as one JSON object, sizes in bytes
`;

/** Options of `aha model info`. */
export const INFO_OPTIONS = { json: { type: "boolean", default: false }, ...ADAPTER_OPTION } as const;

/** Runs the subcommand with the arguments after `aha model info`. */
export async function runModelInfo(args: readonly string[], context: CommandContext): Promise<number> {
  const { values, positionals } = parseOptions("model info", args, INFO_OPTIONS, ["DIR"]);
  const text = positionals[0]!;
  const directory = isAdapterAlone(text) ? text : (await openModel(text, context)).modelDirectory;
  if (isAdapterAlone(directory)) {
    if (values.adapter !== undefined) throw new ConfigError(`${text} is an adapter itself; leave --adapter out.`);
    context.out(adapterText(directory, await describeAdapter(directory), values.json));
    return 0;
  }
  const adapter = values.adapter === undefined ? undefined : await openAdapter(values.adapter, context);
  const { config, storedBytes, dtypes, fileCount, ignored } = await inspectModel(directory);
  const tokenizer = await tokenizerInfo(directory);
  const size = modelSize(config);
  const onTop = adapter === undefined ? undefined : await loadPeftAdapter(adapter, config);
  if (values.json) {
    const about = { directory, config, storedBytes, dtypes, fileCount, ignored, tokenizer, ...size };
    const applied = onTop && { adapter: adapterAbout(adapter!, onTop) };
    context.out(`${JSON.stringify({ ...about, ...applied })}\n`);
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
        `${config.qkNorm ? ", query and key norms" : ""}${windows(config)}${biases(config)}`,
    ],
    ["positions", `RoPE with theta ${config.ropeTheta}${scaling(config)}${otherPositions(config)}`],
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
    ...(ignored.length === 0 ? [] : [["passed over", namesOf(ignored)] as [string, string]]),
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
  context.out(`${table(rows)}${onTop ? `\n${adapterText(adapter!, onTop, false)}` : ""}`);
  return 0;
}

/** The first of many names. */
function namesOf(names: readonly string[]): string {
  const more = names.length > 3 ? `, … (${names.length} tensors that the model does not need)` : "";
  return names.slice(0, 3).join(", ") + more;
}

function table(rows: readonly (readonly [string, string])[]): string {
  return `${rows.map(([name, value]) => `${name.padEnd(14)}${value}`).join("\n")}\n`;
}

function adapterAbout(directory: string, description: AdapterDescription) {
  const { lora, layers, baseModel, parameterCount, storedBytes, dtypes } = description;
  return {
    directory,
    ...lora,
    scale: loraScale(lora),
    layers,
    baseModel: baseModel ?? null,
    parameterCount,
    storedBytes,
    dtypes,
  };
}

function adapterText(directory: string, description: AdapterDescription, json: boolean): string {
  const about = adapterAbout(directory, description);
  if (json) return `${JSON.stringify({ adapter: about })}\n`;
  const { rank, alpha, rsLora, scale, dropout, targets, layers, baseModel, parameterCount, storedBytes, dtypes } =
    about;
  return table([
    ["adapter", `LoRA in PEFT's format, ${directory}`],
    [
      "rank",
      `${rank}; alpha ${alpha}, so scaled by ${Number(scale.toPrecision(6))} (alpha / ${rsLora ? "√rank" : "rank"})`,
    ],
    ["dropout", `${dropout} in training`],
    ["projections", targets.join(", ")],
    ["layers", layersText(layers)],
    ...differences(about),
    ["parameters", inMillions(parameterCount)],
    ["stored", `${inBytes(storedBytes)} as ${dtypes.join(", ")}`],
    ["base", baseModel || "not named"],
  ]);
}

/** `0 to 23`, or each of them where some are left out. */
function layersText(layers: readonly number[]): string {
  const [first, last] = [layers[0]!, layers.at(-1)!];
  return layers.length > 2 && last - first === layers.length - 1 ? `${first} to ${last}` : layers.join(", ");
}

/** How many adapted parameters have another rank or alpha than the adapter's own. */
function differences({ modules = {}, rank, alpha }: LoraConfig): [string, string][] {
  const shapes = Object.values(modules);
  const others = shapes.filter((shape) => shape.rank !== rank || shape.alpha !== alpha);
  if (others.length === 0) return [];
  const shown = [...new Set(others.map((shape) => `${shape.rank}; alpha ${shape.alpha}`))];
  const more = shown.length > 3 ? ", …" : "";
  return [["other ranks", `${others.length} of ${shapes.length} matrices: ${shown.slice(0, 3).join(", ")}${more}`]];
}

/** null where the directory has no tokenizer. */
async function tokenizerInfo(directory: string): Promise<{ vocabSize: number; hasChatTemplate: boolean } | null> {
  if ((await stat(join(directory, "tokenizer.json")).catch(() => undefined)) === undefined) return null;
  const { vocabSize, hasChatTemplate } = await loadTokenizer(directory);
  return { vocabSize, hasChatTemplate };
}

/** How many of a model's layers are of a kind, as text. */
function layersOf(config: ModelConfig, isOne: (kind: LayerKind) => boolean): string | undefined {
  const kinds = Array.from({ length: config.numLayers }, (_, layer) => layerKind(config, layer));
  const count = kinds.filter(isOne).length;
  return count === 0 ? undefined : `${count} of ${config.numLayers} layers`;
}

function windows(config: ModelConfig): string {
  const where = layersOf(config, ({ slides }) => slides);
  return where === undefined ? "" : `, a window of ${config.slidingWindow} tokens in ${where}`;
}

function otherPositions(config: ModelConfig): string {
  const [local, none] = (["local", "none"] as const).map((rope) => layersOf(config, (kind) => kind.rope === rope));
  const ofLocal =
    local && config.localRope ? `; theta ${config.localRope.ropeTheta}${scaling(config.localRope)} in ${local}` : "";
  return `${ofLocal}${none === undefined ? "" : `; none in ${none}`}`;
}

function biases(config: ModelConfig): string {
  const where = [
    ...(config.attentionBias ? ["query, key, value"] : []),
    ...(config.attentionOutputBias ? ["attention output"] : []),
    ...(config.mlpBias ? ["MLP"] : []),
  ];
  return where.length === 0 ? "" : `; biases on ${where.join(", ")}`;
}

function scaling({ ropeScaling }: Pick<ModelConfig, "ropeScaling">): string {
  if (ropeScaling === null) return "";
  const from = ropeScaling.type === "linear" ? "" : ` from ${ropeScaling.originalContextTokens} tokens`;
  return `, ${ropeScaling.type} scaling by ${ropeScaling.factor}${from}`;
}

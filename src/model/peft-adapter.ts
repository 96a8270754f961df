/**
 * An adapter in a folder, in the format of PEFT: `adapter_config.json` (`peft-config.ts`) and `adapter_model.safetensors`,
 * whose tensors are named `base_model.model.<module>.lora_A.weight` and `…lora_B.weight`.
 *
 * Which projections of which layers it adapts is read from its tensors, their ranks too. An adapter for another model
 * is recognised by its shapes. An incomplete adapter is recognised by its config. If the config does not restrict the
 * layers, every layer must have all of the adapter.
 */

import { CheckpointError } from "../errors.ts";
import { type Folder, writeJson } from "../folder.ts";
import type { Allocate } from "./checkpoint.ts";
import {
  ALL_LORA_TARGETS,
  adaptedParameters,
  adapterSpecs,
  LORA_TARGETS,
  type LoraConfig,
  type LoraShape,
  type LoraTarget,
} from "./lora.ts";
import type { ModelConfig } from "./model-config.ts";
import { elementCount, type ParameterSpec, type ParameterValues } from "./parameters.ts";
import { type PeftConfig, parsePeftConfig, peftConfigOf, shapeReader, targetReader } from "./peft-config.ts";
import { CONVERT_ADVICE, isReadDtype, SafetensorsFile, writeSafetensors } from "./safetensors.ts";

/** Its presence says that a folder holds an adapter. */
export const ADAPTER_CONFIG_FILE = "adapter_config.json";
const WEIGHTS_FILE = "adapter_model.safetensors";
const MAX_CONFIG_BYTES = 4 * 2 ** 20;

/** An adapter's settings as its files tell them. */
export interface AdapterDescription {
  readonly lora: LoraConfig;
  /** The layers that have a part of it, counted from 0. */
  readonly layers: readonly number[];
  /** `base_model_name_or_path`, as it is written. */
  readonly baseModel: string | undefined;
  /** Numbers in A and B together. */
  readonly parameterCount: number;
  readonly storedBytes: number;
  /** Names of safetensors. */
  readonly dtypes: readonly string[];
}

/** The settings of the adapter in a folder, its weights' names read but not their values. Throws CheckpointError. */
export async function describeAdapterIn(folder: Folder): Promise<AdapterDescription> {
  const { description } = await readSettings(folder);
  // How many layers the base has is not known here: at least these.
  return { ...description, lora: simplified(description.lora, Math.max(...description.layers) + 1) };
}

/** As `describeAdapterIn`, with `modules` in any case, and the config. */
async function readSettings(folder: Folder): Promise<{
  readonly description: AdapterDescription;
  readonly config: PeftConfig;
}> {
  const path = folder.pathOf(ADAPTER_CONFIG_FILE);
  const text = await folder.readText(ADAPTER_CONFIG_FILE, { maxBytes: MAX_CONFIG_BYTES, error: CheckpointError });
  if (text === undefined) {
    throw new CheckpointError(`${folder.path} has no ${ADAPTER_CONFIG_FILE}. Expected an adapter in PEFT's format.`);
  }
  const config = parsePeftConfig(text, path);
  const file = await openWeights(folder);
  try {
    const tensors = [...file.entries.values()];
    const description = {
      ...settingsOf(config, path, file),
      baseModel: config.base_model_name_or_path ?? undefined,
      parameterCount: tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0),
      storedBytes: tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      dtypes: [...new Set(tensors.map(({ dtype }) => dtype))].sort(),
    };
    return { description, config };
  } finally {
    await file.close();
  }
}

/**
 * The adapter in `folder` for the model that `config` describes; values in memory from `allocate` (the heap by default).
 * Throws CheckpointError where it is damaged, of a kind that is not read, or does not fit the model.
 */
export async function readPeftAdapter(
  folder: Folder,
  config: ModelConfig,
  options: { readonly allocate?: Allocate } = {},
): Promise<AdapterDescription & { readonly values: ParameterValues }> {
  const { allocate = (elements) => new Float32Array(elements) } = options;
  const { description, config: peft } = await readSettings(folder);
  const file = await openWeights(folder);
  try {
    const lora = simplified(description.lora, config.numLayers);
    const specs = adapterSpecs(config, lora);
    const problems = specs.flatMap(({ checkpointName, shape }) => {
      const found = file.entries.get(checkpointName);
      if (found === undefined) return [`${checkpointName} is missing`];
      if (!isReadDtype(found.dtype)) return [`${checkpointName} is stored as ${found.dtype}. ${CONVERT_ADVICE}`];
      if (found.shape.join() === shape.join()) return [];
      return [`${checkpointName} has shape [${found.shape.join(", ")}], this model needs [${shape.join(", ")}]`];
    });
    problems.push(...choiceProblems(config, description.lora, peft));
    const known = new Set(specs.map(({ checkpointName }) => checkpointName));
    for (const name of file.entries.keys()) if (!known.has(name)) problems.push(`the model has nothing for ${name}`);
    if (problems.length > 0) throw misfit(folder.path, config, description, problems);
    const values: ParameterValues = new Map();
    for (const { name, shape, checkpointName } of specs) {
      const value = allocate(elementCount(shape));
      await file.readInto(checkpointName, value);
      values.set(name, value);
    }
    return { ...description, lora, values };
  } finally {
    await file.close();
  }
}

/**
 * Writes an adapter into a folder, `adapter_config.json` last. PEFT loads it onto the base at `baseModel`
 * (a directory or a name on the Hub).
 */
export async function writePeftAdapter(
  folder: Folder,
  config: ModelConfig,
  lora: LoraConfig,
  valuesOf: (parameter: ParameterSpec) => Float32Array | Promise<Float32Array>,
  baseModel: string,
): Promise<void> {
  const tensors = adapterSpecs(config, lora).map((spec) => {
    return { name: spec.checkpointName, shape: spec.shape, data: () => valuesOf(spec) };
  });
  await writeSafetensors(folder, WEIGHTS_FILE, tensors);
  await writeJson(folder, ADAPTER_CONFIG_FILE, peftConfigOf(lora, config, baseModel));
}

async function openWeights(folder: Folder): Promise<SafetensorsFile> {
  const names = await folder.names();
  if (names.includes(WEIGHTS_FILE)) return SafetensorsFile.open(folder, WEIGHTS_FILE);
  const old = names.includes("adapter_model.bin");
  const advice = old ? " adapter_model.bin is a pickle; save it again with safe_serialization=True." : "";
  throw new CheckpointError(`${folder.path} has no ${WEIGHTS_FILE}.${advice}`);
}

/** The layer, the projection and which of the two matrices. */
const TENSOR_NAME = /^base_model\.model\.(model\.layers\.(\d+)\.(?:self_attn|mlp)\.(\w+))\.lora_([AB])\.weight$/;

/** The settings of an adapter with these tensors. */
function settingsOf(
  config: PeftConfig,
  configPath: string,
  file: SafetensorsFile,
): Pick<AdapterDescription, "lora" | "layers"> {
  const { r: rank, lora_alpha: alpha, lora_dropout: dropout, use_rslora: rsLora } = config;
  const found = new Set<string>();
  const layers = new Set<number>();
  const modules: Record<string, LoraShape> = {};
  const shapeOf = shapeReader(config, configPath);
  for (const name of file.entries.keys()) {
    const [, module = "", layer = "", target = ""] = TENSOR_NAME.exec(name) ?? [];
    if (!Object.hasOwn(LORA_TARGETS, target)) throw strangeTensor(file.path, name);
    found.add(target);
    layers.add(Number(layer));
    modules[`layers.${Number(layer)}.${LORA_TARGETS[target as LoraTarget]}`] ??= shapeOf(module);
  }
  if (found.size === 0) throw new CheckpointError(`${file.path} has no tensors.`);
  const targets = ALL_LORA_TARGETS.filter((target) => found.has(target));
  const lora = { rank, alpha, dropout, rsLora, targets, modules };
  return { lora, layers: [...layers].sort((a, b) => a - b) };
}

/** What the config would have adapted otherwise than the tensors do, in this model. */
function choiceProblems(config: ModelConfig, { modules = {} }: LoraConfig, peft: PeftConfig): string[] {
  const isTarget = targetReader(peft);
  const everything = { rank: 1, alpha: 1, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };
  return adaptedParameters(config, everything).flatMap(({ base, a }) => {
    const wanted = isTarget(base.checkpointName.replace(/\.weight$/, ""));
    const isThere = Object.hasOwn(modules, base.name);
    if (wanted === undefined || wanted === isThere) return [];
    return [
      wanted ? `${a.checkpointName} is missing` : `${a.checkpointName} is there, though target_modules leaves it out`,
    ];
  });
}

/** The same settings without `modules` where every one of so many layers has the same adapter. */
function simplified(lora: LoraConfig, numLayers: number): LoraConfig {
  const { modules, ...alike } = lora;
  if (modules === undefined) return lora;
  const isAlike = ({ rank, alpha }: LoraShape) => rank === lora.rank && alpha === lora.alpha;
  const isWhole = Object.keys(modules).length === numLayers * lora.targets.length;
  return isWhole && Object.values(modules).every(isAlike) ? alike : lora;
}

/** Parts of tensors' names that others than PEFT's `save_pretrained` leave, or adapters that are not read; and why. */
const STRANGE_PARTS: readonly (readonly [part: RegExp, why: string])[] = [
  [/\b_orig_mod\./, "has _orig_mod. in its name, by torch.compile: save the model that it wraps"],
  [/\bmodule\./, "has module. in its name, by DataParallel or DeepSpeed: save the module that it wraps"],
  [/_fsdp_wrapped_module\./, "has _fsdp_wrapped_module. in its name, by FSDP: save with its full state dict"],
  [/\.lora_[AB]\.\w+\.weight$/, "has the adapter's own name in it: save the adapter with save_pretrained"],
  [/modules_to_save\b/, "is a whole matrix of modules_to_save, which is not read"],
  [/\.lora_(?:embedding_[AB]|magnitude_vector)\b|\.bias$/, "is of a kind of adapter that is not read"],
  [/^base_model\.model\.layers\./, "was made on AutoModel, without a head: make it on AutoModelForCausalLM"],
  [/^(?!base_model\.model\.)/, "does not begin with base_model.model., as PEFT's names do"],
];

function strangeTensor(path: string, name: string): CheckpointError {
  const why = STRANGE_PARTS.find(([part]) => part.test(name))?.[1] ?? "is not a tensor that is read";
  return new CheckpointError(
    `${path}: ${name} ${why}. Adapters may be on ${ALL_LORA_TARGETS.join(", ")} of the layers, named as PEFT names them ` +
      "(base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight).",
  );
}

function misfit(
  directory: string,
  config: ModelConfig,
  { baseModel }: AdapterDescription,
  problems: readonly string[],
): CheckpointError {
  const more = problems.length > 3 ? `; and ${problems.length - 3} more` : "";
  const made = baseModel === undefined ? "" : ` It was made for ${JSON.stringify(baseModel)}.`;
  return new CheckpointError(
    `The adapter in ${directory} does not fit this ${config.architecture} of ${config.numLayers} layers and width ` +
      `${config.hiddenSize}: ${problems.slice(0, 3).join("; ")}${more}.${made}`,
  );
}

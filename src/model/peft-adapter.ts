/**
 * An adapter on disk, in the format of PEFT: `adapter_config.json` and `adapter_model.safetensors`, whose tensors are named
 * `base_model.model.<module>.lora_A.weight` and `…lora_B.weight`.
 *
 * An adapter's numbers mean something only with its settings and its base, so nothing that changes them is passed over:
 * DoRA, ranks that differ by module, trained embeddings or biases, starts that change the base (PiSSA, OLoRA, LoftQ) are
 * refused by name. Which projections it adapts is read from its tensors: `target_modules` may be a pattern, and is then
 * no list of anything. An adapter that was made for another model is told by its shapes.
 */

import { existsSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { z } from "zod";
import { CheckpointError } from "../errors.ts";
import { parseJson, readTextFile, writeWhole } from "../files.ts";
import type { Allocate } from "./checkpoint.ts";
import { ALL_LORA_TARGETS, adapterSpecs, type LoraConfig, type LoraTarget } from "./lora.ts";
import type { ModelConfig } from "./model-config.ts";
import { elementCount, type ParameterSpec, type ParameterValues } from "./parameters.ts";
import { SafetensorsFile, writeSafetensors } from "./safetensors.ts";

const CONFIG_FILE = "adapter_config.json";
const WEIGHTS_FILE = "adapter_model.safetensors";
const MAX_CONFIG_BYTES = 4 * 2 ** 20;
const MAX_RANK = 65_536;

const configSchema = z.looseObject({
  peft_type: z.string(),
  base_model_name_or_path: z.string().nullish(),
  r: z.int().min(1).max(MAX_RANK),
  lora_alpha: z.number().positive(),
  lora_dropout: z.number().min(0).lt(1).default(0),
  use_rslora: z.boolean().default(false),
  target_modules: z.union([z.array(z.string()), z.string()]).nullish(),
});

/** Keys that change an adapter's numbers, with the values under which they do not; absent is inert, and so is null. */
const INERT_VALUES: Readonly<Record<string, readonly unknown[]>> = {
  bias: ["none"],
  fan_in_fan_out: [false],
  init_lora_weights: [true, false, "gaussian", "orthogonal", "eva"],
  lora_bias: [false],
  use_dora: [false],
  use_qalora: [false],
};

/** Keys that change an adapter's numbers unless they are absent, null, or empty. */
const EMPTY_KEYS = [
  "alpha_pattern",
  "alora_invocation_tokens",
  "arrow_config",
  "exclude_modules",
  "kasa_config",
  "layer_replication",
  "layers_to_transform",
  "loftq_config",
  "modules_to_save",
  "monteclora_config",
  "rank_pattern",
  "target_parameters",
  "trainable_token_indices",
  "use_bdlora",
  "velora_config",
];

/** An adapter's settings as its files tell them. */
export interface AdapterDescription {
  readonly lora: LoraConfig;
  /** `base_model_name_or_path`, as it is written. */
  readonly baseModel: string | undefined;
  /** Numbers in A and B together. */
  readonly parameterCount: number;
  readonly storedBytes: number;
  /** Names of safetensors. */
  readonly dtypes: readonly string[];
}

/** Whether a directory holds an adapter in PEFT's format. */
export function isAdapterDirectory(directory: string): boolean {
  return existsSync(join(directory, CONFIG_FILE));
}

/** The settings of the adapter in `directory`, its weights' names read but not their values. Throws CheckpointError. */
export async function describeAdapter(directory: string): Promise<AdapterDescription> {
  const path = join(directory, CONFIG_FILE);
  if (!isAdapterDirectory(directory)) {
    throw new CheckpointError(`${directory} has no ${CONFIG_FILE}. Expected an adapter in PEFT's format.`);
  }
  const config = parseAdapterConfig(
    await readTextFile(path, { maxBytes: MAX_CONFIG_BYTES, error: CheckpointError }),
    path,
  );
  const file = await openWeights(directory);
  try {
    const targets = targetsOf(file);
    const { r: rank, lora_alpha: alpha, lora_dropout: dropout, use_rslora: rsLora } = config;
    const tensors = [...file.entries.values()];
    return {
      lora: { rank, alpha, dropout, rsLora, targets },
      baseModel: config.base_model_name_or_path ?? undefined,
      parameterCount: tensors.reduce((sum, { shape }) => sum + elementCount(shape), 0),
      storedBytes: tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      dtypes: [...new Set(tensors.map(({ dtype }) => dtype))].sort(),
    };
  } finally {
    await file.close();
  }
}

/**
 * The adapter in `directory` for the model that `config` describes; values in memory from `allocate` (the heap by default).
 * Throws CheckpointError where it is damaged, of a kind that is not read, or does not fit the model.
 */
export async function loadPeftAdapter(
  directory: string,
  config: ModelConfig,
  options: { readonly allocate?: Allocate } = {},
): Promise<AdapterDescription & { readonly values: ParameterValues }> {
  const { allocate = (elements) => new Float32Array(elements) } = options;
  const description = await describeAdapter(directory);
  const file = await openWeights(directory);
  try {
    const specs = adapterSpecs(config, description.lora);
    const problems = specs.flatMap(({ checkpointName, shape }) => {
      const found = file.entries.get(checkpointName)?.shape;
      if (found === undefined) return [`${checkpointName} is missing`];
      if (found.join() === shape.join()) return [];
      return [`${checkpointName} has shape [${found.join(", ")}], this model needs [${shape.join(", ")}]`];
    });
    const known = new Set(specs.map(({ checkpointName }) => checkpointName));
    for (const name of file.entries.keys()) if (!known.has(name)) problems.push(`the model has nothing for ${name}`);
    if (problems.length > 0) throw misfit(directory, config, description, problems);
    const values: ParameterValues = new Map();
    for (const { name, shape, checkpointName } of specs) {
      const value = allocate(elementCount(shape));
      await file.readInto(checkpointName, value);
      values.set(name, value);
    }
    return { ...description, values };
  } finally {
    await file.close();
  }
}

/**
 * Writes an adapter into an existing directory, `adapter_config.json` last. PEFT loads it onto the base at `baseModel`
 * (a directory or a name on the Hub).
 */
export async function savePeftAdapter(
  directory: string,
  config: ModelConfig,
  lora: LoraConfig,
  valuesOf: (parameter: ParameterSpec) => Float32Array | Promise<Float32Array>,
  baseModel: string,
): Promise<void> {
  const tensors = adapterSpecs(config, lora).map((spec) => {
    return { name: spec.checkpointName, shape: spec.shape, data: () => valuesOf(spec) };
  });
  await writeSafetensors(join(directory, WEIGHTS_FILE), tensors);
  await writeWhole(join(directory, CONFIG_FILE), `${JSON.stringify(adapterConfigOf(lora, baseModel), null, 2)}\n`);
}

/**
 * Where the base of an adapter is: `baseModel` as PEFT understands it, a directory (relative to the working directory), or
 * relative to the adapter's own. Throws CheckpointError where there is none: names on the Hub must be fetched first.
 */
export function baseDirectoryOf(directory: string, baseModel: string | undefined): string {
  const advice = "Name the base, and this adapter with --adapter.";
  if (baseModel === undefined || baseModel === "") {
    throw new CheckpointError(`${join(directory, CONFIG_FILE)} names no base (base_model_name_or_path). ${advice}`);
  }
  const candidates = isAbsolute(baseModel) ? [baseModel] : [resolve(baseModel), resolve(directory, baseModel)];
  const found = candidates.find((candidate) => existsSync(join(candidate, "config.json")));
  if (found !== undefined) return found;
  throw new CheckpointError(
    `The adapter in ${directory} was trained on ${JSON.stringify(baseModel)}, which is no model directory here. ${advice}`,
  );
}

function adapterConfigOf({ rank, alpha, dropout, rsLora, targets }: LoraConfig, baseModel: string) {
  return {
    alpha_pattern: {},
    auto_mapping: null,
    base_model_name_or_path: baseModel,
    bias: "none",
    fan_in_fan_out: false,
    inference_mode: true,
    init_lora_weights: true,
    layers_pattern: null,
    layers_to_transform: null,
    lora_alpha: alpha,
    lora_dropout: dropout,
    modules_to_save: null,
    peft_type: "LORA",
    r: rank,
    rank_pattern: {},
    revision: null,
    target_modules: targets,
    task_type: "CAUSAL_LM",
    use_dora: false,
    use_rslora: rsLora,
  };
}

function parseAdapterConfig(text: string, path: string): z.infer<typeof configSchema> {
  const parsed = configSchema.safeParse(parseJson(text, path, CheckpointError));
  if (!parsed.success) {
    const reasons = parsed.error.issues
      .slice(0, 4)
      .map((issue) => `${issue.path.join(".") || "the top"}: ${issue.message}`);
    throw new CheckpointError(`${path} is not an adapter's config: ${reasons.join("; ")}.`);
  }
  const config = parsed.data;
  if (config.peft_type !== "LORA") {
    throw new CheckpointError(`${path}: peft_type is ${JSON.stringify(config.peft_type)}; only "LORA" is read.`);
  }
  const odd = Object.entries(INERT_VALUES).find(([key, inert]) => {
    return config[key] !== undefined && config[key] !== null && !inert.includes(config[key]);
  });
  const filled = EMPTY_KEYS.find((key) => !isEmpty(config[key]));
  const key = odd?.[0] ?? filled;
  if (key === undefined) return config;
  const shown = JSON.stringify(config[key]).slice(0, 80);
  const expected = odd ? JSON.stringify(odd[1][0]) : "none";
  throw new CheckpointError(
    `${path}: ${key} = ${shown} changes the adapter's numbers and is not supported; only ${expected} is.`,
  );
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

async function openWeights(directory: string): Promise<SafetensorsFile> {
  const path = join(directory, WEIGHTS_FILE);
  if (existsSync(path)) return SafetensorsFile.open(path);
  const old = existsSync(join(directory, "adapter_model.bin"));
  const advice = old ? " adapter_model.bin is a pickle; save it again with safe_serialization=True." : "";
  throw new CheckpointError(`${directory} has no ${WEIGHTS_FILE}.${advice}`);
}

const TENSOR_NAME = /^base_model\.model\.model\.layers\.\d+\.(?:self_attn|mlp)\.(\w+)\.lora_[AB]\.weight$/;

/** The projections that a file has tensors for, in the order of a layer. */
function targetsOf(file: SafetensorsFile): LoraTarget[] {
  const found = new Set<string>();
  for (const name of file.entries.keys()) {
    const target = TENSOR_NAME.exec(name)?.[1];
    if (target === undefined || !ALL_LORA_TARGETS.includes(target as LoraTarget)) {
      throw new CheckpointError(
        `${file.path}: ${name} is not a tensor that is read. Adapters may be on ${ALL_LORA_TARGETS.join(", ")} of every ` +
          "layer, named as PEFT names them (base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight).",
      );
    }
    found.add(target);
  }
  if (found.size === 0) throw new CheckpointError(`${file.path} has no tensors.`);
  return ALL_LORA_TARGETS.filter((target) => found.has(target));
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

/**
 * PEFT's `adapter_config.json`: read into the settings that an adapter's numbers depend on, and written.
 *
 * Nothing that changes numbers is passed over: DoRA, trained embeddings, heads or biases (`modules_to_save`), starts that
 * change the base (PiSSA, OLoRA, LoftQ) are refused by the key's name, and so is a key that is not known here, where its
 * value says more than a number. What `target_modules`, `exclude_modules` and `layers_to_transform` name has to be what
 * there are tensors for.
 */

import { z } from "zod";
import { AhaError, CheckpointError, nearestName } from "../errors.ts";
import { parseJson } from "../json-text.ts";
import { compilePattern } from "../pattern/matcher.ts";
import { adaptedParameters, type LoraConfig, type LoraShape } from "./lora.ts";
import type { ModelConfig } from "./model-config.ts";

const MAX_RANK = 65_536;

const rank = z.int().min(1).max(MAX_RANK);
const alpha = z.number().positive();

const configSchema = z.looseObject({
  peft_type: z.string(),
  base_model_name_or_path: z.string().nullish(),
  r: rank,
  lora_alpha: alpha,
  lora_dropout: z.number().min(0).lt(1).default(0),
  use_rslora: z.boolean().default(false),
  target_modules: z.union([z.array(z.string()), z.string()]).nullish(),
  exclude_modules: z.union([z.array(z.string()), z.string()]).nullish(),
  layers_to_transform: z.union([z.int(), z.array(z.int())]).nullish(),
  layers_pattern: z.union([z.array(z.string()), z.string()]).nullish(),
  rank_pattern: z.record(z.string(), rank).nullish(),
  alpha_pattern: z.record(z.string(), alpha).nullish(),
});

/** The keys that are read, checked. */
export type PeftConfig = z.infer<typeof configSchema>;

/** Keys that change an adapter's numbers, with the values under which they do not; absent is inert, and so is null. */
const INERT_VALUES: Readonly<Record<string, readonly unknown[]>> = {
  bias: ["none"],
  init_lora_weights: [true, false, "gaussian", "orthogonal", "eva"],
};

/** Keys that change an adapter's numbers unless they are absent, null, false, or empty. */
const EMPTY_KEYS = [
  "alora_invocation_tokens",
  "arrow_config",
  "kasa_config",
  "layer_replication",
  "loftq_config",
  "lora_bias",
  "modules_to_save",
  "monteclora_config",
  "target_parameters",
  "trainable_token_indices",
  "use_bdlora",
  "use_dora",
  "use_qalora",
  "velora_config",
];

/** Keys of PEFT's that change no numbers of an adapter that is loaded onto linear layers. */
const INERT_KEYS = [
  "auto_mapping",
  "corda_config",
  "ensure_weight_tying",
  "eva_config",
  // Of layers that are stored the other way round, which none here is: PEFT sets it back.
  "fan_in_fan_out",
  "inference_mode",
  "lora_ga_config",
  "megatron_config",
  "megatron_core",
  "peft_version",
  "qalora_group_size",
  "revision",
  "runtime_config",
  "task_type",
];

const KNOWN_KEYS = new Set([
  ...Object.keys(configSchema.shape),
  ...Object.keys(INERT_VALUES),
  ...EMPTY_KEYS,
  ...INERT_KEYS,
]);

/** The config in a text; `path` names the file. Throws CheckpointError for another kind of adapter, naming the key. */
export function parsePeftConfig(text: string, path: string): PeftConfig {
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
  const shown = (key: string) => `${path}: ${key} = ${JSON.stringify(config[key]).slice(0, 80)}`;
  const odd = Object.entries(INERT_VALUES).find(([key, inert]) => {
    return config[key] !== undefined && config[key] !== null && !inert.includes(config[key]);
  });
  if (odd !== undefined) {
    const expected = JSON.stringify(odd[1][0]);
    throw new CheckpointError(
      `${shown(odd[0])} changes the adapter's numbers and is not supported; only ${expected} is.`,
    );
  }
  const filled = EMPTY_KEYS.find((key) => !isEmpty(config[key]));
  if (filled !== undefined) {
    throw new CheckpointError(`${shown(filled)} changes the adapter's numbers and is not supported; only none is.`);
  }
  const unknown = Object.keys(config).find((key) => !KNOWN_KEYS.has(key) && saysMore(config[key]));
  if (unknown !== undefined) {
    const near = nearestName(unknown, KNOWN_KEYS);
    throw new CheckpointError(
      `${shown(unknown)} is a key that is not known here, and may change the adapter's numbers. If it does not, remove ` +
        `it.${near === undefined ? "" : ` Is ${near} meant?`}`,
    );
  }
  return config;
}

function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === false) return true;
  return typeof value === "object" && Object.keys(value).length === 0;
}

/** Whether a value switches something on. Numbers are settings of what another key switches on. */
function saysMore(value: unknown): boolean {
  return !isEmpty(value) && value !== "" && typeof value !== "number";
}

/**
 * Whether PEFT adapts a module of the base, e.g. `model.layers.0.self_attn.q_proj` (its `check_target_module_exists`);
 * undefined where the config does not tell, or by a pattern that is not supported here.
 */
export function targetReader(config: PeftConfig): (module: string) => boolean | undefined {
  const { layers_to_transform: layers, layers_pattern: containers } = config;
  const excluded = nameReader(config.exclude_modules ?? []);
  const targets = config.target_modules ?? undefined;
  const named = targets === undefined ? undefined : targets === "all-linear" ? () => true : nameReader(targets);
  if (excluded === undefined || named === undefined) return () => undefined;
  const indices = layers === undefined || layers === null ? [] : [layers].flat();
  const names = [containers ?? []].flat();
  const isOfLayer = (module: string) => {
    if (indices.length === 0 || typeof targets === "string" || targets?.includes(module) === true) return true;
    const [, container = "", index = ""] = /\.(\w+)\.(\d+)\./.exec(module) ?? [];
    return indices.includes(Number(index)) && (names.length === 0 || names.includes(container));
  };
  return (module) => !excluded(module) && named(module) && isOfLayer(module);
}

/** Names that are a module's own or its end after a full stop, or one pattern of the whole name. */
function nameReader(names: readonly string[] | string): ((module: string) => boolean) | undefined {
  if (typeof names !== "string") {
    return (module) => names.some((name) => module === name || module.endsWith(`.${name}`));
  }
  try {
    return compilePattern(`^(?:${names})$`, NO_FLAGS);
  } catch (error) {
    if (error instanceof AhaError) return undefined;
    throw error;
  }
}

/**
 * Rank and α of the adapter on a module, e.g. `model.layers.0.self_attn.q_proj`: those of the first pattern that matches
 * the module's whole name, or its end after a full stop (PEFT's `get_pattern_key`), else the config's. Throws
 * CheckpointError for a pattern that is not supported.
 */
export function shapeReader(config: PeftConfig, path: string): (module: string) => LoraShape {
  const ranks = patternReader("rank_pattern", config.rank_pattern, config.r, path);
  const alphas = patternReader("alpha_pattern", config.alpha_pattern, config.lora_alpha, path);
  return (module) => ({ rank: ranks(module), alpha: alphas(module) });
}

const NO_FLAGS = { ignoreCase: false, multiline: false, dotAll: false };

function patternReader(
  key: string,
  values: Readonly<Record<string, number>> | null | undefined,
  otherwise: number,
  path: string,
): (module: string) => number {
  const entries = Object.entries(values ?? {}).map(([pattern, value]) => {
    // Most are names, which need no automaton: a full stop in them matches one.
    if (/^[\w.]+$/.test(pattern)) {
      return { matches: (module: string) => module === pattern || module.endsWith(`.${pattern}`), value };
    }
    try {
      return { matches: compilePattern(`^(?:.*\\.)?(?:${pattern})$`, NO_FLAGS), value };
    } catch (error) {
      if (!(error instanceof AhaError)) throw error;
      throw new CheckpointError(
        `${path}: ${key} has the pattern ${JSON.stringify(pattern.slice(0, 80))}, which is not supported: ${error.message}`,
      );
    }
  });
  return (module) => entries.find(({ matches }) => matches(module))?.value ?? otherwise;
}

/** The content of `adapter_config.json` for an adapter on the base at `baseModel`. */
export function peftConfigOf(lora: LoraConfig, config: ModelConfig, baseModel: string): Record<string, unknown> {
  const { rank, alpha, dropout, rsLora, targets, modules } = lora;
  const parts = adaptedParameters(config, lora).map(({ base }) => {
    return { module: base.checkpointName.replace(/\.weight$/, ""), ...(modules?.[base.name] ?? { rank, alpha }) };
  });
  /** Of modules whose value is not the adapter's own: by their whole names, which are patterns of themselves. */
  const others = (key: "rank" | "alpha", own: number) =>
    Object.fromEntries(parts.filter((part) => part[key] !== own).map((part) => [part.module, part[key]]));
  return {
    alpha_pattern: others("alpha", alpha),
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
    rank_pattern: others("rank", rank),
    revision: null,
    target_modules: modules === undefined ? targets : parts.map(({ module }) => module),
    task_type: "CAUSAL_LM",
    use_dora: false,
    use_rslora: rsLora,
  };
}

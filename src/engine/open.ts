/**
 * Opens engines: the one place where a model becomes something that samples, scores and trains. Which engine it is, is
 * said by a spec (`engine` of a recipe), whose `kind` names an entry of the registry.
 */

import { z } from "zod";
import type { Computing } from "../compute/computing.ts";
import { ConfigError } from "../errors.ts";
import { cachedBy, Registry } from "../registry.ts";
import { checkOptions } from "../strict-schema.ts";
import type { Policy } from "./contract/policy.ts";
import type { RewardModel } from "./contract/reward-model.ts";
import type { Sampler } from "./contract/sampler.ts";
import type {
  EngineKind,
  EngineLook,
  EngineSpec,
  PolicySource,
  RewardModelSource,
  SharedBase,
  SharedSource,
} from "./engine-kind.ts";
import { localEngine } from "./local/local-kind.ts";
import { tinkerEngine } from "./tinker/tinker-kind.ts";

/** Every engine. */
export const engines = new Registry<EngineKind>("engine", [localEngine, tinkerEngine]);

/** The engine where nothing else is said. */
export const LOCAL_ENGINE: EngineSpec = { kind: localEngine.name };

/** The schema of a spec: a union of all engines on `kind`, which is `local` where it is absent. */
export const engineSchema: () => z.ZodType<EngineSpec> = cachedBy([engines], () => {
  const members = engines.all.map(({ name, shape, summary }) => {
    const kind = z.literal(name).describe("which engine computes");
    return z
      .strictObject({
        kind: name === LOCAL_ENGINE.kind ? kind.optional().prefault(name) : kind,
        threads: z.int().min(1).optional().describe("threads to compute with; as many as cores if absent"),
        ...shape,
      })
      .describe(summary);
  });
  return z.discriminatedUnion("kind", members as [(typeof members)[number]]) as unknown as z.ZodType<EngineSpec>;
});

/** What `compute` is where this engine is used: for the engine, and for scorers and teachers beside it. */
export function computeFor(spec: EngineSpec, compute: Computing): Computing {
  return compute.on(engines.get(spec.kind).deviceOf?.(spec));
}

/** Whether a policy's weights are read from the model's directory here; else they are where this engine is. */
export function readsWeights({ kind }: Pick<EngineSpec, "kind">): boolean {
  return engines.get(kind).hasWeightsElsewhere !== true;
}

/** Whether the spec says already that trained weights stay where this engine is (the capability `weightFiles` is not there). */
export function lacksWeightFiles(spec: EngineSpec): boolean {
  return engines.get(spec.kind).lacksWeightFiles?.(spec) === true;
}

/** The spec of teachers and scorers beside this engine, which are models in this process: the same limits, where it is, too. */
export function specBeside(spec: EngineSpec): EngineSpec {
  return spec.kind === LOCAL_ENGINE.kind ? spec : LOCAL_ENGINE;
}

/**
 * Of an engine for models that are only read, what their numbers depend on beyond rounding differences of limits: of this
 * process device and dtype, as far as they are not the default; of another engine all but how it is reached.
 */
export function engineIdentity(spec: EngineSpec = LOCAL_ENGINE): {
  readonly engine?: Readonly<Record<string, unknown>>;
} {
  if (spec.kind === LOCAL_ENGINE.kind) {
    const { device = "cpu", dtype = "float32" } = spec;
    return device === "cpu" && dtype === "float32" ? {} : { engine: { device, dtype } };
  }
  const without = ["threads", ...(engines.get(spec.kind).keysWithoutEffect ?? [])];
  return { engine: Object.fromEntries(Object.entries(spec).filter(([key]) => !without.includes(key))) };
}

/**
 * Opens a policy. The caller disposes of it.
 *
 * @throws ConfigError for a spec that makes no sense; CheckpointError for a directory that is no model, or an adapter that
 * does not fit it; EngineError for a model that the engine cannot have.
 */
export async function openEngine(spec: EngineSpec, source: PolicySource, compute: Computing): Promise<Policy> {
  const { kind, checked } = checkedSpec(spec);
  return kind.openPolicy(checked, source, compute);
}

/** What an engine that is elsewhere says of itself; undefined: it is in this process. Throws as `EngineKind.look`. */
export async function lookAtEngine(
  spec: EngineSpec,
  source: PolicySource,
  compute: Pick<Computing, "folderAt">,
): Promise<EngineLook | undefined> {
  const { kind, checked } = checkedSpec(spec);
  return kind.look?.(checked, source, compute);
}

/**
 * Opens a model that is only read: evaluated, talked to, asked for data. The caller disposes of it.
 *
 * @throws as `openEngine`
 */
export async function openSampler(spec: EngineSpec, source: PolicySource, compute: Computing): Promise<Sampler> {
  const { kind, checked } = checkedSpec(spec);
  return kind.openSampler?.(checked, source, compute) ?? kind.openPolicy(checked, source, compute);
}

/**
 * Opens a model and adapters of it over one set of weights. The caller disposes of each.
 *
 * @throws ConfigError for a spec that makes no sense, or an engine that cannot; CheckpointError
 */
export async function openSharedEngines(
  spec: EngineSpec,
  source: SharedSource,
  compute: Computing,
): Promise<readonly Policy[]> {
  const { kind, checked } = checkedSpec(spec);
  if (kind.openShared === undefined) {
    throw new ConfigError(`The engine ${kind.name} has no adapters over one base: take another one (engine.kind).`);
  }
  return kind.openShared(checked, source, compute);
}

/**
 * Opens a model that policies are opened over later, each with an adapter of its own. The caller disposes of it.
 *
 * @throws ConfigError for a spec that makes no sense, or an engine that cannot; CheckpointError
 */
export async function openSharedBase(
  spec: EngineSpec,
  source: Pick<PolicySource, "path" | "quantization">,
  compute: Computing,
): Promise<SharedBase> {
  const { kind, checked } = checkedSpec(spec);
  if (kind.openBase === undefined) {
    throw new ConfigError(`The engine ${kind.name} has no adapters over one base: take another one (engine.kind).`);
  }
  return kind.openBase(checked, source, compute);
}

/**
 * Opens a reward model. The caller disposes of it.
 *
 * @throws ConfigError for a spec that makes no sense, or an engine without reward models; CheckpointError
 */
export async function openRewardModel(
  spec: EngineSpec,
  source: RewardModelSource,
  compute: Computing,
): Promise<RewardModel> {
  const { kind, checked } = checkedSpec(spec);
  if (kind.openRewardModel === undefined) {
    throw new ConfigError(`The engine ${kind.name} has no reward models: take another one (engine.kind).`);
  }
  return kind.openRewardModel(checked, source, compute);
}

function checkedSpec(spec: EngineSpec): { readonly kind: EngineKind; readonly checked: EngineSpec } {
  return { kind: engines.get(spec.kind), checked: checkOptions(engineSchema(), spec, "engine") };
}

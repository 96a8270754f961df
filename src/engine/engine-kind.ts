/** An engine as the registry of engines lists it, and what it is opened on. */

import type { z } from "zod";
import type { Computing } from "../compute/computing.ts";
import type { StageFinding } from "../findings.ts";
import type { LoraConfig } from "../model/lora.ts";
import type { Quantization } from "../model/quantization.ts";
import type { Capable } from "./contract/capabilities.ts";
import type { Policy, PolicyInfo } from "./contract/policy.ts";
import type { RewardModel } from "./contract/reward-model.ts";
import type { Sampler } from "./contract/sampler.ts";

/** Which engine: `kind` names it, the other keys are its own. */
export interface EngineSpec {
  readonly kind: string;
  /** Threads that this process computes with; one per processor, at most 8, if absent. */
  readonly threads?: number | undefined;
  readonly [key: string]: unknown;
}

/** A policy's model, in the Hugging Face layout. */
export interface PolicySource {
  /** Its directory, or another name by which the engine knows it. */
  readonly path: string;
  /** Train a new adapter of this form; the model's own weights are frozen. */
  readonly lora?: LoraConfig | undefined;
  /** Directory of an adapter in PEFT's format: it is applied, and training changes it. */
  readonly adapter?: string | undefined;
  /** Hold the projections of the layers packed; they cannot be trained then. */
  readonly quantization?: Quantization | undefined;
  /** False where nothing is sampled: a model that only scores can be on a device, or in a dtype, that cannot sample. */
  readonly samples?: boolean | undefined;
  /** Root of an adapter's random numbers: its first values and its dropout; 0 by default. */
  readonly adapterSeed?: number | undefined;
}

/** A model and adapters of it that share its weights in memory. */
export interface SharedSource extends Pick<PolicySource, "path" | "quantization"> {
  /** Directories of adapters in PEFT's format, an engine for each; undefined: the model itself, which is not trained. */
  readonly adapters: readonly (string | undefined)[];
}

/** A model that is held once, and policies over it that come and go. */
export interface SharedBase {
  /** Opens a policy that trains the adapter that is told, or, told of none, the model itself, which is not trained. The caller
   * disposes of it. */
  open(adapter: Pick<PolicySource, "lora" | "adapter" | "adapterSeed">): Promise<Policy>;
  /** Releases the model as soon as the last policy over it is disposed of. */
  dispose(): void;
}

/** A reward model (`*ForSequenceClassification`, one label), or a language model of which a new one is to be made. */
export interface RewardModelSource {
  readonly path: string;
  /** The padding token where the model's files name none, of its tokenizer. */
  readonly padTokenId?: number | null | undefined;
}

/** What there is to say of an engine that is elsewhere, before anything is opened there. */
export interface EngineLook extends Capable {
  readonly info: PolicyInfo;
  readonly findings: readonly StageFinding[];
  /** What it does not say of itself. */
  readonly unsaid: readonly string[];
}

/** An engine as the registry lists it. */
export interface EngineKind {
  /** What a spec calls it (`kind`). */
  readonly name: string;
  readonly summary: string;
  /** Its keys in a spec beside `kind` and `threads`, all optional or with defaults. */
  readonly shape: z.ZodRawShape;
  /** Keys that decide how or where it is computed, and not what comes out; none but `threads` if absent. */
  readonly keysWithoutEffect?: readonly string[];
  /** The device that it computes with in this process; absent where it computes elsewhere. */
  deviceOf?(spec: EngineSpec): string | undefined;
  /** `spec` has been checked by `shape`. */
  openPolicy(spec: EngineSpec, source: PolicySource, compute: Computing): Promise<Policy>;
  /** The policy's weights are elsewhere: of its model nothing is read here but tokenizer and configuration. */
  readonly hasWeightsElsewhere?: boolean;
  /**
   * The spec says already that an open engine would not have the capability `weightFiles`. Absent where a spec does not decide
   * about it.
   */
  lacksWeightFiles?(spec: EngineSpec): boolean;
  /**
   * Asks an engine that is elsewhere what it is and has. Absent where it is in this process.
   *
   * @throws ConfigError for a spec or a model that does not go with it; EngineError where it cannot be asked.
   */
  look?(spec: EngineSpec, source: PolicySource, compute: Pick<Computing, "folderAt">): Promise<EngineLook>;
  /** Opens a model that is only read. Absent where a policy is all that there is. */
  openSampler?(spec: EngineSpec, source: PolicySource, compute: Computing): Promise<Sampler>;
  /** Absent where the engine cannot have several models over one set of weights. */
  openShared?(spec: EngineSpec, source: SharedSource, compute: Computing): Promise<readonly Policy[]>;
  /** Absent where the engine cannot open policies over a model that is open. */
  openBase?(
    spec: EngineSpec,
    source: Pick<PolicySource, "path" | "quantization">,
    compute: Computing,
  ): Promise<SharedBase>;
  /** Absent where the engine has no reward models. */
  openRewardModel?(spec: EngineSpec, source: RewardModelSource, compute: Computing): Promise<RewardModel>;
}

/**
 * What an engine can do. The record is data, so that trainers refuse what is not supported before they begin, by name, and
 * so that the conformance suite knows which promises an engine makes.
 */

import { ConfigError } from "../../errors.ts";
import type { LossSpec } from "../../losses/loss-spec.ts";

export interface Capabilities {
  /** Losses that `forwardBackward` takes; none where the model cannot be trained. */
  readonly losses: readonly LossSpec["name"][];
  /** What is trained: all weights or an adapter; none where the model cannot be trained. */
  readonly training: "full" | "adapter" | "none";
  /** `score` and `forwardBackward` return entropies. */
  readonly entropies: boolean;
  /** `forwardBackward` returns margins with cross-entropy. */
  readonly margins: boolean;
  /** Scoring and training take a temperature other than 1. */
  readonly scoringTemperature: boolean;
  /** Sampling returns the tokens that top-k and top-p kept; scoring and training renormalise over them. */
  readonly keptTokens: boolean;
  /** A draw is a function of (seed, iteration, promptId, sample, position) and of nothing that shares its batch. */
  readonly seededDraws: boolean;
  /** Sampling takes `minCompletionTokens`. */
  readonly minimumLength: boolean;
  /** `openSession` is there. */
  readonly sessions: boolean;
  /** A reference policy can be frozen and scored under. */
  readonly reference: boolean;
  /** The reference can be moved a part of the way to the policy. */
  readonly referenceMixing: boolean;
  /** Losses take an entropy bonus. */
  readonly entropyBonus: boolean;
  /** Losses take noise on embeddings. */
  readonly embeddingNoise: boolean;
  /** `optimStep` returns the norm of the gradient. */
  readonly gradientNorm: boolean;
  /** `optimStep` clips the gradient by its norm. */
  readonly gradientClipping: boolean;
  /** `optimStep` decays the weights that are trained, and no others. */
  readonly weightDecay: boolean;
  /** Data may have `targetTokens`. */
  readonly otherTargets: boolean;
  /** `snapshot` is there. */
  readonly snapshots: boolean;
  /** `saveWeights` leaves the weights themselves in its directory, as a model or an adapter that others read. */
  readonly weightFiles: boolean;
}

/** The capabilities of an engine that only scores, at temperature 1. Other records of capabilities extend it. */
export const NO_CAPABILITIES: Capabilities = {
  losses: [],
  training: "none",
  entropies: false,
  margins: false,
  scoringTemperature: false,
  keptTokens: false,
  seededDraws: false,
  minimumLength: false,
  sessions: false,
  reference: false,
  referenceMixing: false,
  entropyBonus: false,
  embeddingNoise: false,
  gradientNorm: false,
  gradientClipping: false,
  weightDecay: false,
  otherTargets: false,
  snapshots: false,
  weightFiles: false,
};

/** A capability that is there or not. */
export type CapabilityName = {
  [Name in keyof Capabilities]: Capabilities[Name] extends boolean ? Name : never;
}[keyof Capabilities];

/** In messages: what the engine does not have. */
const WHAT: Readonly<Record<CapabilityName, string>> = {
  entropies: "entropies of the next-token distributions",
  margins: "margins of the logits",
  scoringTemperature: "scoring and training at a temperature other than 1",
  keptTokens: "the tokens that top-k and top-p kept",
  seededDraws: "draws that depend on the seed alone",
  minimumLength: "a least length of completions (minCompletionTokens)",
  sessions: "sampling sessions",
  reference: "a frozen reference policy",
  referenceMixing: "mixing of the reference with the policy",
  entropyBonus: "an entropy bonus in its losses",
  embeddingNoise: "noise on embeddings",
  gradientNorm: "the norm of the gradient",
  gradientClipping: "clipping of the gradient by its norm",
  weightDecay: "a weight decay of the trained weights alone",
  otherTargets: "targets other than the completion's own tokens",
  snapshots: "frozen copies of its weights that sample",
  weightFiles: "files of the trained weights",
};

/** Who asks: a stage of a recipe, and the key of it (with its value) that needs the capability. */
export interface CapabilityUse {
  readonly stage?: string | undefined;
  /** As a path in the recipe, e.g. `entropyCoef`; several are joined with "and". */
  readonly key: string;
}

/** What has capabilities, and a name for messages. */
export interface Capable {
  readonly info: { readonly name: string };
  readonly capabilities: Capabilities;
}

/** Throws ConfigError, which names engine, capability, stage and key, where the engine lacks a capability. */
export function requireCapability(engine: Capable, capability: CapabilityName, use: CapabilityUse): void {
  if (!engine.capabilities[capability]) refuse(engine, `${WHAT[capability]} (${capability})`, use);
}

/** Throws ConfigError where the engine cannot train by this loss. */
export function requireLossCapability(engine: Capable, loss: LossSpec["name"], use: CapabilityUse): void {
  const { losses } = engine.capabilities;
  if (losses.includes(loss)) return;
  refuse(engine, `the loss ${loss} (it has ${losses.length > 0 ? losses.join(", ") : "none"})`, use);
}

function refuse({ info }: Capable, what: string, { stage, key }: CapabilityUse): never {
  const where = stage === undefined ? key : `Stage ${stage}: ${key}`;
  throw new ConfigError(
    `${where} needs ${what}, which the engine ${info.name} does not have. Change this key, or take another engine (engine.kind).`,
  );
}

/** What a policy on a server is made of: a model that is created there, and what can be done with it. */

import { z } from "zod";
import { engineLossNames } from "../../losses/engine-losses.ts";
import { ATTENTION_TARGETS, type LoraConfig, type LoraTarget, MLP_TARGETS } from "../../model/lora.ts";
import { type Capabilities, NO_CAPABILITIES } from "../contract/capabilities.ts";
import type { PolicyInfo } from "../contract/policy.ts";
import type { TinkerProfile } from "./profile.ts";
import { RemoteModel } from "./remote-model.ts";
import type { SavedFiles } from "./saved-files.ts";
import type { TinkerClient } from "./tinker-client.ts";
import { RepeatedRequest } from "./transport.ts";

/** How many models are made, at most, to load a checkpoint into. */
const MOST_LOADS = 3;

/** What a policy is opened with. */
export interface RemotePolicyParts {
  readonly client: TinkerClient;
  readonly profile: TinkerProfile;
  readonly info: PolicyInfo;
  readonly baseModel: string;
  readonly lora: LoraConfig;
  readonly adapterSeed: number;
  readonly files: SavedFiles;
}

/** What can be done on a server of this profile. */
export function capabilitiesOf({
  extension,
  clipping,
  gradientNorm,
  adapters,
  snapshots,
}: TinkerProfile): Capabilities {
  const plain: Capabilities = {
    ...NO_CAPABILITIES,
    losses: engineLossNames(),
    training: "adapter",
    reference: true,
    gradientNorm: gradientNorm !== undefined,
    gradientClipping: clipping === "request",
    otherTargets: true,
    // Where a model has one set of weights, whoever samples from older ones undoes what was trained since.
    snapshots: snapshots === "apart",
    weightFiles: adapters !== "none",
  };
  if (!extension) return plain;
  return {
    ...plain,
    entropies: true,
    margins: true,
    scoringTemperature: true,
    keptTokens: true,
    seededDraws: true,
    minimumLength: true,
    sessions: true,
    entropyBonus: true,
    embeddingNoise: true,
  };
}

/** What can be done with weights there that are only read. */
export function samplerCapabilitiesOf({ extension }: TinkerProfile): Capabilities {
  if (!extension) return NO_CAPABILITIES;
  return {
    ...NO_CAPABILITIES,
    ...{ scoringTemperature: true, keptTokens: true, seededDraws: true, minimumLength: true, sessions: true },
  };
}

/** Makes a model on the server. Throws EngineError where it refuses. */
export async function createModel({
  client,
  profile,
  baseModel,
  lora,
  adapterSeed,
}: RemotePolicyParts): Promise<RemoteModel> {
  const { rank, alpha, dropout, rsLora, targets } = lora;
  const has = (some: readonly LoraTarget[]) => some.some((target) => targets.includes(target));
  const body = {
    session_id: client.sessionId,
    model_seq_id: client.nextModelNumber(),
    base_model: baseModel,
    lora_config: {
      rank,
      seed: adapterSeed,
      train_unembed: false,
      train_mlp: has(MLP_TARGETS),
      train_attn: has(ATTENTION_TARGETS),
      ...(profile.extension ? { aha: { alpha, dropout, rs_lora: rsLora, targets: [...targets] } } : {}),
    },
    ...(profile.requests !== "0.25" && { optimizer_config: { type: "adamw" } }),
    type: "create_model",
  };
  const request = await client.submit("create_model", "CreateModel", JSON.stringify(body));
  const { model_id } = await client.json(request, z.object({ model_id: z.string() }));
  return new RemoteModel(client, profile, model_id);
}

/**
 * Makes a model of a checkpoint. A load that has to be a model's first request, and whose answer was lost, is refused when it
 * is sent again: then another model is made.
 *
 * @throws EngineError where the checkpoint cannot be loaded.
 */
export async function createModelOf(parts: RemotePolicyParts, path: string, optimizer: boolean): Promise<RemoteModel> {
  const { client, profile } = parts;
  if (profile.load === "first") {
    for (let attempt = 1; ; attempt++) {
      const model = await createModel(parts);
      try {
        await model.loadFirst(path, optimizer);
        return model;
      } catch (error) {
        await unloadModel(client, model);
        if (!(error instanceof RepeatedRequest) || attempt === MOST_LOADS) throw error;
      }
    }
  }
  const body = {
    session_id: client.sessionId,
    model_seq_id: client.nextModelNumber(),
    path,
    optimizer,
    type: "load_weights",
  };
  const request = await client.submit("load_weights", "LoadWeights", JSON.stringify(body));
  const { model_id } = await client.json(request, z.object({ model_id: z.string().nullish() }));
  return new RemoteModel(client, profile, model_id ?? `${client.sessionId}:train:${body.model_seq_id}`);
}

/** Releases a model; one that cannot be unloaded goes with the session. Never throws. */
export async function unloadModel(client: TinkerClient, { id }: RemoteModel): Promise<void> {
  await client
    .submit("unload_model", "UnloadModel", JSON.stringify({ model_id: id, type: "unload_model" }))
    .catch(() => {});
}

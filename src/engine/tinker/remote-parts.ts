/** What a policy on a server is made of: a model that is created there, and what can be done with it. */

import { z } from "zod";
import { engineLossNames } from "../../losses/engine-losses.ts";
import type { LoraConfig } from "../../model/lora.ts";
import { type Capabilities, NO_CAPABILITIES } from "../contract/capabilities.ts";
import type { PolicyInfo } from "../contract/policy.ts";
import type { TinkerProfile } from "./profile.ts";
import { RemoteModel } from "./remote-model.ts";
import type { SavedFiles } from "./saved-files.ts";
import type { TinkerClient } from "./tinker-client.ts";

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
export function capabilitiesOf({ extension, clipping, gradientNorm }: TinkerProfile): Capabilities {
  const plain: Capabilities = {
    ...NO_CAPABILITIES,
    losses: engineLossNames(),
    training: "adapter",
    reference: true,
    gradientNorm: gradientNorm !== undefined,
    gradientClipping: clipping === "request",
    otherTargets: true,
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

/** Makes a model on the server. Throws EngineError where it refuses. */
export async function createModel({
  client,
  profile,
  baseModel,
  lora,
  adapterSeed,
}: RemotePolicyParts): Promise<RemoteModel> {
  const { rank, alpha, dropout, rsLora, targets } = lora;
  const has = (names: readonly string[]) => names.some((name) => (targets as readonly string[]).includes(name));
  const body = {
    session_id: client.sessionId,
    model_seq_id: client.nextModelNumber(),
    base_model: baseModel,
    lora_config: {
      rank,
      seed: adapterSeed,
      train_unembed: false,
      train_mlp: has(["gate_proj", "up_proj", "down_proj"]),
      train_attn: has(["q_proj", "k_proj", "v_proj", "o_proj"]),
      ...(profile.extension ? { aha: { alpha, dropout, rs_lora: rsLora, targets: [...targets] } } : {}),
    },
    optimizer_config: { type: "adamw" },
    type: "create_model",
  };
  const request = await client.submit("create_model", "CreateModel", JSON.stringify(body));
  const { model_id } = await client.json(request, z.object({ model_id: z.string() }));
  return new RemoteModel(client, profile, model_id);
}

/** What a policy on a server is made of: a model that is created there, and what can be done with it. */

import { z } from "zod";
import { EngineError } from "../../errors.ts";
import { engineLossNames } from "../../losses/engine-losses.ts";
import { ATTENTION_TARGETS, type LoraConfig, type LoraTarget, MLP_TARGETS } from "../../model/lora.ts";
import { type Capabilities, NO_CAPABILITIES } from "../contract/capabilities.ts";
import type { AdamParams, PolicyInfo } from "../contract/policy.ts";
import type { TinkerProfile } from "./profile.ts";
import { RemoteModel } from "./remote-model.ts";
import { removeCheckpoint, type SavedFiles } from "./saved-files.ts";
import { RequestFailed, type TinkerClient } from "./tinker-client.ts";
import { RepeatedRequest } from "./transport.ts";

/** How many models are made, at most, to load a checkpoint into. */
const MOST_LOADS = 3;
/** Between two tries to make a model on a server that has no place for it. */
const PLACE_WAIT_MS = 10_000;

/** A step that moves no weight. */
export const STILL: AdamParams = {
  ...{ learningRate: 0, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0, maxGradNorm: 0 },
};

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
  decays,
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
    weightDecay: decays === "own",
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

/** Makes a model on the server, without a gradient. Throws EngineError where it refuses. */
export async function createModel(parts: RemotePolicyParts): Promise<RemoteModel> {
  if (parts.profile.firstGradient === "left") {
    // The first free place is taken, and a step clears it. That step counts for the optimizer of the model that took it, so
    // another one takes the place after it, asked for at once, before the server looks for silent sessions again.
    const first = await newModel(parts);
    await first.stepResult(await first.submitStep(STILL)).catch((error: unknown) => {
      // A server that takes no step without a gradient has left none.
      if (!(error instanceof RequestFailed)) throw error;
    });
    await unloadModel(parts.client, first);
  }
  return newModel(parts);
}

async function newModel(parts: RemotePolicyParts): Promise<RemoteModel> {
  const { client, profile, baseModel, lora, adapterSeed } = parts;
  return whereThereIsPlace(parts, async () => {
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
  });
}

/**
 * What `make` makes, tried again while the server is full: models of a client that was killed leave their places when the
 * server has heard nothing of it for some minutes, and whoever goes on with its run may be there sooner.
 */
async function whereThereIsPlace<T>({ client, profile }: RemotePolicyParts, make: () => Promise<T>): Promise<T> {
  const { clock } = client.transport;
  for (const startedAt = clock.now(); ; ) {
    try {
      return await make();
    } catch (error) {
      const { full } = profile;
      if (full === undefined || !(error instanceof RequestFailed && full.says.test(error.message))) throw error;
      if (clock.now() - startedAt > 1000 * full.seconds) {
        throw new EngineError(
          `${error.message} It had no place for ${full.seconds} s, in which models of clients that were killed leave theirs: ` +
            "end another run on it, or start it with more places.",
        );
      }
      await clock.sleep(PLACE_WAIT_MS);
    }
  }
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
  return whereThereIsPlace(parts, async () => {
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
  });
}

/** Releases a model; one that cannot be unloaded, or holds checkpoints, goes with the session. Never throws. */
export async function unloadModel(
  client: TinkerClient,
  { id, holdsCheckpoints = false }: { readonly id: string; readonly holdsCheckpoints?: boolean },
  options: { readonly once?: boolean } = {},
): Promise<void> {
  if (holdsCheckpoints) return;
  client.models.delete(id);
  const body = JSON.stringify({ model_id: id, type: "unload_model" });
  await client.submit("unload_model", "UnloadModel", body, options).catch(() => {});
}

/**
 * Ends a session: removes `files` that the server keeps of what was sampled from, and gives up the session's models where the
 * server does not do that with it. Never throws.
 */
export async function endSession(
  { client, profile }: Pick<RemotePolicyParts, "client" | "profile">,
  files: readonly (string | undefined)[] = [],
): Promise<void> {
  for (const file of files) if (file !== undefined) await removeCheckpoint(client.transport, file);
  if (profile.ending === "models") {
    // Once: whoever ends does not wait for a server that is gone.
    await Promise.all(Array.from(client.models, (id) => unloadModel(client, { id }, { once: true })));
  }
  await client.close();
}

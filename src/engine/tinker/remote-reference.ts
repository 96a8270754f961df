/**
 * The reference policy on a server: weights that stay as they were, and score. Where servers keep sampled weights apart from
 * trained ones it is a named snapshot. On servers where a model has one set of weights, and sampling from an older snapshot
 * puts that one into its place, the reference is a model of its own that is never trained; or the base, as long as the policy
 * is nothing else.
 */

import { z } from "zod";
import { EngineError } from "../../errors.ts";
import type { RemoteModel } from "./remote-model.ts";
import { createModelOf, type RemotePolicyParts, unloadModel } from "./remote-parts.ts";
import { RemoteSampler } from "./remote-sampler.ts";
import { removeCheckpoint } from "./saved-files.ts";

/** Stands for the base in the place of a path. */
export const BASE = "base";

export interface RemoteReference {
  readonly sampler: RemoteSampler;
  /** What it is opened from again (`openReference`). */
  readonly uri: string;
  /** Where it is a model of its own. */
  readonly model?: RemoteModel;
  /** The file that the server keeps of what is sampled from, where it does. */
  readonly file?: string | undefined;
}

/**
 * Freezes the weights of a model as they are, under a name that begins so. `isBase`: they are the base's, its adapter being as
 * it was made.
 */
export async function freezeReference(
  parts: RemotePolicyParts,
  model: RemoteModel,
  isBase: boolean,
  name: "reference" | "snapshot" = "reference",
): Promise<RemoteReference> {
  if (parts.profile.snapshots === "apart") {
    return openReference(parts, requirePath((await model.save("sampler", name)).path));
  }
  if (isBase) return openReference(parts, BASE);
  return openReference(parts, requirePath((await model.save("weights", "reference")).path));
}

/** The reference that was frozen as `uri`. Throws EngineError where it is not there any more. */
export async function openReference(parts: RemotePolicyParts, uri: string): Promise<RemoteReference> {
  const { client, profile, baseModel } = parts;
  if (profile.snapshots === "apart" || uri === BASE) {
    const body = {
      session_id: client.sessionId,
      sampling_session_seq_id: client.nextSamplingNumber(),
      ...(uri === BASE ? { base_model: baseModel } : { model_path: uri }),
    };
    const schema = z.object({ sampling_session_id: z.string() });
    const { sampling_session_id } = await client.ask("create_sampling_session", body, schema);
    return { uri, sampler: new RemoteSampler(client, sampling_session_id) };
  }
  const model = await createModelOf(parts, uri, false);
  const { sampling_session_id, path } = await model.saveUnnamed(() => client.nextSamplingNumber(), "snapshot");
  const sampler = new RemoteSampler(client, requireSession(sampling_session_id));
  return { uri, model, sampler, file: path ?? undefined };
}

/** Gives up what the server holds for a reference that is not asked any more, but not what it is opened from again. */
export async function releaseReference({ client }: RemotePolicyParts, { model, file }: RemoteReference): Promise<void> {
  if (file !== undefined) await removeCheckpoint(client.transport, file);
  if (model) await unloadModel(client, model);
}

/** The path of what was saved. Throws EngineError where the server did not say it. */
export function requirePath(path: string | null | undefined): string {
  if (path != null) return path;
  throw new EngineError("The Tinker server saved weights and did not say where.");
}

/** The sampling session of what was saved. Throws EngineError where the server did not say it. */
export function requireSession(id: string | null | undefined): string {
  if (id != null) return id;
  throw new EngineError("The Tinker server saved weights and named no sampling session for them.");
}

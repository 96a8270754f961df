/**
 * Frozen copies of a policy on a server, to sample from while the policy is trained on.
 *
 * With the extension a snapshot is saved without a name, into a sampling session that the next one takes over: it goes with
 * the client's session, also where the client is killed. Elsewhere it is a named one (a later save without a name may take
 * the place of an earlier one there), which is removed at its end.
 */

import type { RemoteModel } from "./remote-model.ts";
import type { RemotePolicyParts } from "./remote-parts.ts";
import { freezeReference, requireSession } from "./remote-reference.ts";
import { RemoteSampler } from "./remote-sampler.ts";
import { removeCheckpoint } from "./saved-files.ts";
import { TinkerSampler } from "./tinker-sampler.ts";

export class RemoteSnapshots {
  readonly #parts: RemotePolicyParts;
  /** With the extension: sampling sessions of snapshots that are gone, for the next ones. */
  readonly #free: { readonly number: number; readonly sampler: RemoteSampler }[] = [];

  constructor(parts: RemotePolicyParts) {
    this.#parts = parts;
  }

  /** A copy of the model's weights as they are; `isBase` where they are the base's. Its caller disposes of it. */
  async take(model: RemoteModel, isBase: boolean): Promise<TinkerSampler> {
    const { client, profile } = this.#parts;
    if (!profile.extension) {
      const { sampler, uri } = await freezeReference(this.#parts, model, isBase, "snapshot");
      return new TinkerSampler(this.#parts, sampler, () => removeCheckpoint(client.transport, uri));
    }
    const free = this.#free.pop();
    const number = free?.number ?? client.nextSamplingNumber();
    const { sampling_session_id } = await model.saveUnnamed(() => number, "inflight");
    const sampler = free?.sampler ?? new RemoteSampler(client, requireSession(sampling_session_id));
    return new TinkerSampler(this.#parts, sampler, async () => void this.#free.push({ number, sampler }));
  }
}

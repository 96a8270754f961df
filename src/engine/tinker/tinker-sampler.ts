/**
 * Weights on a Tinker server that are only read: a base, or what a run has trained there. No model is made of them where the
 * server keeps sampled weights apart; where it does not, one is made that is never trained (`remote-reference.ts`).
 */

import { EngineError } from "../../errors.ts";
import type { Capabilities } from "../contract/capabilities.ts";
import type {
  SampledSequence,
  SampleProgress,
  Sampler,
  SamplerInfo,
  ScoreDatum,
  ScoreOptions,
  ScoreResult,
} from "../contract/sampler.ts";
import type { SamplePrompt, SamplingParams } from "../contract/sampling.ts";
import type { SamplingSession } from "../contract/session.ts";
import { requireData, requireSampling } from "../local/requests.ts";
import { VerbTurns } from "../turns.ts";
import { endSession, type RemotePolicyParts, samplerCapabilitiesOf } from "./remote-parts.ts";
import { BASE, openReference, type RemoteReference, removeFile } from "./remote-reference.ts";
import { RemoteSession } from "./remote-session.ts";
import { sampleRemotely } from "./sample-remotely.ts";

export class TinkerSampler implements Sampler {
  readonly info: SamplerInfo;
  readonly capabilities: Capabilities;
  readonly #parts: RemotePolicyParts;
  readonly #weights: RemoteReference;
  readonly #turns = new VerbTurns();

  private constructor(parts: RemotePolicyParts, weights: RemoteReference) {
    this.#parts = parts;
    this.#weights = weights;
    this.info = parts.info;
    this.capabilities = samplerCapabilitiesOf(parts.profile);
  }

  /** Opens the weights of this path, or the base's. Throws EngineError where the server does not have them. */
  static async open(parts: RemotePolicyParts, uri: string = BASE): Promise<TinkerSampler> {
    return new TinkerSampler(parts, await openReference(parts, uri));
  }

  sample(
    prompts: readonly SamplePrompt[],
    params: SamplingParams,
    onProgress?: SampleProgress,
  ): Promise<SampledSequence[]> {
    return this.#turns.verb(async () => {
      requireSampling(this.info, prompts, params);
      return sampleRemotely(this.#weights.sampler, this.#parts.profile, prompts, params, onProgress);
    });
  }

  openSession(): SamplingSession {
    if (!this.capabilities.sessions) throw new EngineError(`The engine ${this.info.name} has no sampling sessions.`);
    return new RemoteSession(this.info, () => this.#turns.verb(async () => this.#weights.sampler));
  }

  score(data: readonly ScoreDatum[], { temperature }: ScoreOptions): Promise<ScoreResult> {
    return this.#turns.verb(async () => {
      if (temperature !== 1) throw new EngineError(`The engine ${this.info.name} scores at temperature 1 only.`);
      requireData(this.info, data);
      const other = data.find(({ keptTokens, targetTokens }) => keptTokens ?? targetTokens);
      if (other) throw new EngineError(`The engine ${this.info.name} scores a completion's own tokens only.`);
      return { logprobs: await this.#weights.sampler.score(data, this.#parts.profile) };
    });
  }

  dispose(): Promise<void> {
    return this.#turns.end(async () => {
      await removeFile(this.#parts, this.#weights);
      await endSession(this.#parts);
    });
  }
}

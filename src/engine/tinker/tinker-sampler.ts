/**
 * Weights on a Tinker server that are only read: a base, what a run has trained there, or a snapshot of a policy. No model is
 * made of them where the server keeps sampled weights apart; where it does not, one is made that is never trained
 * (`remote-reference.ts`).
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
import { requireData, requireSampling, requireTemperature } from "../local/requests.ts";
import { VerbTurns } from "../turns.ts";
import { endSession, type RemotePolicyParts, samplerCapabilitiesOf } from "./remote-parts.ts";
import { BASE, openReference } from "./remote-reference.ts";
import type { RemoteSampler } from "./remote-sampler.ts";
import { RemoteSession } from "./remote-session.ts";
import { sampleRemotely } from "./sample-remotely.ts";

export class TinkerSampler implements Sampler {
  readonly info: SamplerInfo;
  readonly capabilities: Capabilities;
  readonly #parts: RemotePolicyParts;
  readonly #weights: RemoteSampler;
  readonly #release: () => Promise<void>;
  readonly #turns = new VerbTurns();

  /** `release`: what becomes of the weights at the end. */
  constructor(parts: RemotePolicyParts, weights: RemoteSampler, release: () => Promise<void>) {
    this.#parts = parts;
    this.#weights = weights;
    this.#release = release;
    this.info = parts.info;
    this.capabilities = samplerCapabilitiesOf(parts.profile);
  }

  /** Opens the weights of this path, or the base's. Throws EngineError where the server does not have them. */
  static async open(parts: RemotePolicyParts, uri: string = BASE): Promise<TinkerSampler> {
    const weights = await openReference(parts, uri);
    return new TinkerSampler(parts, weights.sampler, () => endSession(parts, [weights.file]));
  }

  sample(
    prompts: readonly SamplePrompt[],
    params: SamplingParams,
    onProgress?: SampleProgress,
  ): Promise<SampledSequence[]> {
    return this.#turns.verb(async () => {
      requireSampling(this.info, prompts, params);
      return sampleRemotely(this.#weights, this.#parts.profile, prompts, params, onProgress);
    });
  }

  openSession(): SamplingSession {
    if (!this.capabilities.sessions) throw new EngineError(`The engine ${this.info.name} has no sampling sessions.`);
    return new RemoteSession(this.info, () => this.#turns.verb(async () => this.#weights));
  }

  score(data: readonly ScoreDatum[], { temperature }: ScoreOptions): Promise<ScoreResult> {
    return this.#turns.verb(async () => {
      requireTemperature(temperature);
      if (temperature !== 1 && !this.capabilities.scoringTemperature) {
        throw new EngineError(`The engine ${this.info.name} scores at temperature 1 only.`);
      }
      requireData(this.info, data);
      const other = data.find(({ keptTokens, targetTokens }) => keptTokens ?? targetTokens);
      if (other) throw new EngineError(`The engine ${this.info.name} scores a completion's own tokens only.`);
      return { logprobs: await this.#weights.score(data, this.#parts.profile, temperature) };
    });
  }

  dispose(): Promise<void> {
    return this.#turns.end(() => this.#release());
  }
}

/** A policy whose weights are the list of what was done to them: what a server carried out, how often, and in which order. */

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { NO_CAPABILITIES } from "../../src/engine/contract/capabilities.ts";
import type { Datum, Policy } from "../../src/engine/contract/policy.ts";
import type { Sampler, ScoreDatum } from "../../src/engine/contract/sampler.ts";
import type { SamplePrompt, SamplingParams } from "../../src/engine/contract/sampling.ts";
import type { SharedBase } from "../../src/engine/engine-kind.ts";
import { EngineError } from "../../src/errors.ts";
import { hashString } from "../../src/random.ts";

const INFO = { name: "recording", vocabSize: 64, maxContextTokens: 64, eosTokenIds: [1], parameterCount: 1 };

/** A first weight that makes a pass fail. */
export const FAILING_WEIGHT = -77;

export class RecordingPolicy implements Sampler {
  readonly info = INFO;
  readonly capabilities = {
    ...NO_CAPABILITIES,
    losses: ["cross_entropy"],
    training: "adapter" as const,
    snapshots: true,
  };
  readonly log: string[] = [];
  readonly #takesTime: () => Promise<void>;

  /** `takesTime`: what training waits for before it does something. */
  constructor(takesTime: () => Promise<void> = async () => {}) {
    this.#takesTime = takesTime;
  }

  async score(data: readonly ScoreDatum[]) {
    return {
      logprobs: data
        .map(({ completionTokens }) => completionTokens.slice() as unknown as Float32Array)
        .map((row) => Float32Array.from(row, () => this.#fingerprint())),
    };
  }

  async forwardBackward(data: readonly Datum[]) {
    await this.#takesTime();
    if (data[0]!.weights[0] === FAILING_WEIGHT) throw new EngineError("This pass fails, as it was told to.");
    this.log.push(`pass ${data.map(({ weights }) => [...weights].join()).join(" ")}`);
    return { ...(await this.score(data)), loss: this.log.length };
  }

  async optimStep({ learningRate }: { readonly learningRate: number }) {
    await this.#takesTime();
    this.log.push(`step ${learningRate}`);
    return { applied: true, gradNorm: this.log.length };
  }

  async sample(prompts: readonly SamplePrompt[], { maxCompletionTokens }: SamplingParams) {
    return prompts.flatMap(({ numSamples }, promptIndex) =>
      Array.from({ length: numSamples }, (_, sampleIndex) => ({
        promptIndex,
        sampleIndex,
        tokens: new Int32Array(maxCompletionTokens).fill(2),
        logprobs: new Float32Array(maxCompletionTokens).fill(this.#fingerprint()),
        finishReason: "length" as const,
      })),
    );
  }

  async snapshot(): Promise<Sampler> {
    const copy = new RecordingPolicy();
    copy.log.push(...this.log);
    return copy;
  }

  async resetOptimizer() {}

  async saveState(directory: string) {
    await writeFile(join(directory, "log.json"), JSON.stringify(this.log));
  }

  saveWeights(directory: string) {
    return this.saveState(directory);
  }

  async loadState(directory: string) {
    this.log.splice(
      0,
      this.log.length,
      ...(JSON.parse(await readFile(join(directory, "log.json"), "utf8")) as string[]),
    );
  }

  async dispose() {}

  /** Tells two logs apart, in a float32. */
  #fingerprint(): number {
    return fingerprintOf(this.log);
  }
}

/** What policies with this log score and sample with: of the last step and all before it, for a pass moves no weight. */
export function fingerprintOf(log: readonly string[]): number {
  const last = log.findLastIndex((entry) => entry.startsWith("step"));
  return Math.fround(-(hashString(log.slice(0, last + 1).join("\n")) % 65_536) / 1000 - 0.001);
}

/** A base of such policies; `policies` are those that train, in the order in which they came. */
export function recordingBase(takesTime?: () => Promise<void>): {
  readonly base: SharedBase;
  readonly policies: RecordingPolicy[];
} {
  const policies: RecordingPolicy[] = [];
  const open = async ({ lora, adapter }: { readonly lora?: unknown; readonly adapter?: string | undefined }) => {
    const policy = new RecordingPolicy(takesTime);
    if (adapter !== undefined) await policy.loadState(adapter);
    if (lora !== undefined) policies.push(policy);
    return policy as unknown as Policy;
  };
  return { base: { open, dispose: () => {} } as SharedBase, policies };
}

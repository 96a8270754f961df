/**
 * A loss of ours as a pass of the protocol: by its own name where the server has it, by Aha's spec where it speaks the
 * extension, else by slopes: log-probabilities first, then Σ −slope·logπ, whose gradient is that of the loss.
 */

import { tokenTerm } from "../../losses/engine-losses.ts";
import { grpo } from "../../losses/grpo.ts";
import { isCrossEntropy, type LossSpec, type PolicyLossSpec } from "../../losses/loss-spec.ts";
import { AHA_LOSS } from "../../tinker/aha-extension.ts";
import type { Datum } from "../contract/policy.ts";
import type { ScoreDatum, ScoreResult } from "../contract/sampler.ts";
import { lossColumns } from "../local/completion-loss.ts";
import { requirePerToken } from "../local/requests.ts";
import type { TinkerProfile } from "./profile.ts";
import type { Pass } from "./remote-model.ts";
import { extendedDatum, plainDatum } from "./wire-data.ts";

/** A pass, and the loss that it is of. */
export interface LossPass {
  readonly pass: Pass;
  /** By the sum that the server says, where it says one, or by the log-probabilities that it computed. */
  readonly lossOf: (said: number | undefined, logprobs: readonly Float32Array[]) => number;
}

const NONE: ReadonlyMap<string, number | string> = new Map();

/** The pass that scores data. */
export function scorePass(
  { extension }: TinkerProfile,
  data: readonly ScoreDatum[],
  temperature: number,
  sampler: string | undefined,
): Pass {
  if (!extension) {
    const ones = ({ completionTokens }: ScoreDatum) => ({ weights: new Float32Array(completionTokens.length).fill(1) });
    const plain = data.map((datum) => plainDatum(datum, ones(datum)));
    return { lossFn: "cross_entropy", config: NONE, forwardOnly: true, data: plain };
  }
  const config = new Map<string, number | string>([["temperature", temperature]]);
  if (sampler !== undefined) config.set("sampler", sampler);
  return { lossFn: AHA_LOSS, config, forwardOnly: true, data: data.map(extendedDatum) };
}

/** The pass that trains by a loss; `score` gives log-probabilities at temperature 1. */
export async function passesOf(
  profile: TinkerProfile,
  data: readonly Datum[],
  loss: LossSpec,
  score: (data: readonly ScoreDatum[]) => Promise<ScoreResult>,
): Promise<LossPass> {
  for (const name of lossColumns(loss)) requirePerToken(data, name);
  if (profile.extension) {
    const config = new Map([["spec", JSON.stringify(loss)]]);
    const pass = { lossFn: AHA_LOSS, config, forwardOnly: false, data: data.map(extendedDatum) };
    return { pass, lossOf: (said) => said ?? Number.NaN };
  }
  if (isCrossEntropy(loss)) {
    const known = profile.linear === "cross_entropy" ? undefined : await score(data);
    const value = (logprobs: readonly Float32Array[]) => weighted(data, (i, t) => -logprobs[i]![t]!);
    return {
      pass: linearPass(profile, data, known, (_, weight) => weight),
      // What a server says of importance sampling is the sum of its advantages.
      lossOf: (said, logprobs) => (known ? value(known.logprobs) : (said ?? value(logprobs))),
    };
  }
  const ppo = profile.losses.includes("ppo") ? ppoConfig(loss) : undefined;
  if (ppo && data.every(({ weights }) => weights.every((weight) => weight >= 0))) {
    // Terms are proportional to their advantages, whose weight is thus theirs.
    const rows = data.map((datum) => {
      const { weights, advantages, samplerLogprobs } = datum;
      const scaled = advantages!.map((advantage, t) => advantage * weights[t]!);
      return plainDatum(datum, { advantages: scaled, logprobs: samplerLogprobs! });
    });
    const lossOf = (said: number | undefined, logprobs: readonly Float32Array[]) => {
      if (said !== undefined) return said;
      const terms = termsOf(data, loss, logprobs);
      return weighted(data, (i, t) => terms[i]![t]!.value);
    };
    return { pass: { lossFn: "ppo", config: ppo, forwardOnly: false, data: rows }, lossOf };
  }
  const scores = await score(data);
  const terms = termsOf(data, loss, scores.logprobs);
  return {
    pass: linearPass(profile, data, scores, (place, weight) => -weight * terms[place.datum]![place.token]!.slope),
    // What the server says is of the slopes.
    lossOf: () => weighted(data, (i, t) => terms[i]![t]!.value),
  };
}

/** The loss and its slope at every token, by these log-probabilities. */
function termsOf(data: readonly Datum[], loss: PolicyLossSpec, logprobs: readonly Float32Array[]) {
  return data.map((datum, i) =>
    Array.from(logprobs[i]!, (logprob, t) =>
      tokenTerm(loss, {
        logprob,
        advantage: datum.advantages![t]!,
        samplerLogprob: datum.samplerLogprobs![t]!,
        ...(datum.refLogprobs && { refLogprob: datum.refLogprobs[t]! }),
      }),
    ),
  );
}

/** −Σ weight·logπ with weights of any sign, whatever the server's reduction. */
function linearPass(
  profile: TinkerProfile,
  data: readonly Datum[],
  scores: ScoreResult | undefined,
  weightAt: (place: { readonly datum: number; readonly token: number }, weight: number) => number,
): Pass {
  const rows = data.map((datum, i) => {
    const positions = datum.promptTokens.length + datum.completionTokens.length - 1;
    // What a mean over positions and data divides by.
    const scale = profile.reduction === "sum" ? 1 : positions * data.length;
    const weights = datum.weights.map((weight, t) => scale * weightAt({ datum: i, token: t }, weight));
    return profile.linear === "cross_entropy"
      ? plainDatum(datum, { weights })
      : // At the ratio 1 the gradient of −r·A is that of −A·logπ.
        plainDatum(datum, { advantages: weights, logprobs: scores!.logprobs[i]! });
  });
  return { lossFn: profile.linear, config: NONE, forwardOnly: false, data: rows };
}

/** The configuration of PPO that is this loss; undefined where none is. */
function ppoConfig(loss: LossSpec): ReadonlyMap<string, number> | undefined {
  const options = loss as Readonly<Record<string, unknown>>;
  if (loss.name !== grpo.name || options.klCoef !== 0 || options.delta !== undefined) return undefined;
  const below = typeof options.clipEpsilon === "number" ? options.clipEpsilon : 0.2;
  const above = typeof options.clipEpsilonHigh === "number" ? options.clipEpsilonHigh : below;
  return new Map([
    ["clip_low_threshold", 1 - below],
    ["clip_high_threshold", 1 + above],
  ]);
}

/** Σ weight · term over all tokens. */
function weighted(data: readonly Datum[], term: (datum: number, token: number) => number): number {
  return data.reduce((sum, { weights }, i) => weights.reduce((own, weight, t) => own + weight * term(i, t), sum), 0);
}

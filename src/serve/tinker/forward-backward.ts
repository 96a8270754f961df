/**
 * forward_backward: a batch and a loss of the protocol, carried out by an engine.
 *
 * Cross-entropy, importance sampling and PPO are losses of the engine, one pass each. The others, a client's custom ones
 * among them, are computed here from a pass without a gradient, loss and slopes in double precision, and cross-entropy
 * weighted by the slopes has the same gradient. A loss of Aha's own clients is the spec that it brings.
 */

import type { Datum, Policy } from "../../engine/contract/policy.ts";
import { grpo } from "../../losses/grpo.ts";
import { AHA_LOSS } from "../../tinker/aha-extension.ts";
import {
  batchedFloats,
  FORWARD_BACKWARD_OUTPUT,
  type WireDatum,
  type WireForwardBackwardRequest,
} from "../../tinker/messages.ts";
import { ahaPass } from "./aha-pass.ts";
import { evaluateCustomLoss } from "./custom-loss/custom-loss.ts";
import type { FutureResult } from "./future-result.ts";
import type { PassReach, PassResult } from "./pass.ts";
import { RequestFailure } from "./refusal.ts";
import { type LossNumbers, type LossOptions, lossOptionsOf, TOKEN_LOSSES } from "./token-losses.ts";
import { type PositionColumns, scoredPositions } from "./training-data.ts";

/** Losses that are the engine's own here. */
const CROSS_ENTROPY = "cross_entropy";
/** A loss that the client has uploaded. */
export const CUSTOM_LOSS = "custom";

/** The names of the losses, for messages. */
const KNOWN = [CROSS_ENTROPY, ...Object.keys(TOKEN_LOSSES), CUSTOM_LOSS].join(", ");

/** No ratio is above it: for a loss that has no bound. */
const NO_BOUND = 1e30;

/**
 * Carries out a request, with what it may use of its session. Where the signal is aborted a client's own loss is evaluated no
 * further, and the pass leaves no gradient.
 *
 * @throws RequestFailure, or EngineError, for data or a loss that make no sense.
 */
export async function forwardBackward(
  policy: Policy,
  request: WireForwardBackwardRequest,
  reach: PassReach,
  signal?: AbortSignal,
): Promise<FutureResult> {
  const { data, lossFn, forwardOnly } = request;
  if (data.length === 0) throw new RequestFailure("The request has no data.");
  const config = configOf(request);
  if (lossFn === AHA_LOSS) return outputOf(await ahaPass(policy, data, config, forwardOnly, reach.scorers));
  if (lossFn === CROSS_ENTROPY) return outputOf(plain(await crossEntropy(policy, data, config, forwardOnly)));
  if (lossFn === CUSTOM_LOSS) return outputOf(await customPass(policy, request, config, reach, signal));
  const loss = TOKEN_LOSSES[lossFn];
  if (loss === undefined) {
    throw new RequestFailure(`This server has no loss ${JSON.stringify(lossFn.slice(0, 100))}; known: ${KNOWN}.`);
  }
  const options = lossOptionsOf(lossFn, loss, config);
  const rows = data.map((datum, i) => {
    const { datum: own, columns } = scoredPositions(datum, i);
    return { datum: own, numbers: numbersOf(columns, loss.readsRatioMask === true) };
  });
  const clip = engineClip(lossFn, options);
  if (clip && !forwardOnly) {
    const engineData = rows.map(
      ({ datum, numbers }): Datum => ({
        ...datum,
        // A token without an advantage has no term; its ratio must not come in, whatever it is.
        weights: numbers.weights ?? numbers.advantages.map((advantage) => (advantage === 0 ? 0 : 1)),
        advantages: numbers.advantages,
        samplerLogprobs: numbers.samplerLogprobs,
      }),
    );
    return outputOf(
      plain(await policy.forwardBackward(engineData, { name: grpo.name, temperature: 1, klCoef: 0, ...clip })),
    );
  }
  const scores = await policy.score(
    rows.map(({ datum }) => datum),
    { temperature: 1 },
  );
  const terms = rows.map(({ numbers }, i) => loss.evaluate(scores.logprobs[i]!, numbers, options));
  const total = terms.reduce((sum, term) => sum + term.loss, 0);
  if (!forwardOnly) {
    const slopes = terms.map((term) => term.slopes);
    await pullSlopes(
      policy,
      rows.map(({ datum }) => datum),
      slopes,
    );
  }
  return outputOf({ logprobs: scores.logprobs, loss: total });
}

/** The gradient of a loss whose slope by each log-probability is known: that of cross-entropy with these as weights. */
async function pullSlopes(policy: Policy, data: readonly Datum[], slopes: readonly Float32Array[]): Promise<void> {
  const sloped = data.map((datum, i) => ({ ...datum, weights: slopes[i]!.map((slope) => -slope) }));
  await policy.forwardBackward(sloped, { name: CROSS_ENTROPY });
}

async function customPass(
  policy: Policy,
  { data, forwardOnly }: WireForwardBackwardRequest,
  config: ReadonlyMap<string, number | string>,
  reach: PassReach,
  signal: AbortSignal | undefined,
): Promise<PassResult> {
  const { loss_id: id, ...others } = Object.fromEntries(config);
  if (typeof id !== "string" || Object.keys(others).length > 0) {
    throw new RequestFailure(
      "The loss custom takes loss_id in its loss_fn_config, what create_custom_loss came to, alone.",
    );
  }
  const loss = reach.loss(id);
  const rows = data.map((wire, i) => scoredPositions(wire, i).datum);
  const { logprobs } = await policy.score(rows, { temperature: 1 });
  const result = await evaluateCustomLoss(loss, data, logprobs, !forwardOnly, { ...(signal && { signal }) });
  if (!forwardOnly) await pullSlopes(policy, rows, result.slopes);
  return { logprobs, loss: result.loss, metrics: result.metrics };
}

/** The clip of the engine's own loss that is this one; undefined where it has none. */
function engineClip(
  name: string,
  { clip_low_threshold: low, clip_high_threshold: high }: LossOptions,
): { readonly clipEpsilon: number; readonly clipEpsilonHigh: number } | undefined {
  if (name === "importance_sampling") return { clipEpsilon: 1, clipEpsilonHigh: NO_BOUND };
  if (name !== "ppo" || !(low! < 1 && high! > 1)) return undefined;
  return { clipEpsilon: 1 - low!, clipEpsilonHigh: high! - 1 };
}

async function crossEntropy(
  policy: Policy,
  data: readonly WireDatum[],
  config: ReadonlyMap<string, number | string>,
  forwardOnly: boolean,
): Promise<PassResult> {
  lossOptionsOf(CROSS_ENTROPY, { options: {}, evaluate: () => ({ loss: 0, slopes: new Float32Array(0) }) }, config);
  const rows = data.map((wire, i) => {
    const { datum, columns } = scoredPositions(wire, i);
    const weights = columns.has("weights") ? columns.floats("weights") : datum.weights.map(() => 1);
    return { ...datum, weights };
  });
  if (!forwardOnly) return policy.forwardBackward(rows, { name: CROSS_ENTROPY });
  const { logprobs } = await policy.score(rows, { temperature: 1 });
  const loss = rows.reduce(
    (sum, { weights }, i) => weights.reduce((own, weight, t) => own - weight * logprobs[i]![t]!, sum),
    0,
  );
  return { logprobs, loss };
}

function numbersOf(columns: PositionColumns, readsRatioMask: boolean): LossNumbers {
  return {
    samplerLogprobs: columns.floats("logprobs"),
    advantages: columns.floats("advantages"),
    ...(columns.has("weights") && { weights: columns.floats("weights") }),
    ...(readsRatioMask && columns.has("sequence_ratio_mask") && { ratioMask: columns.floats("sequence_ratio_mask") }),
  };
}

/** The configuration, of the newer form where both are there. */
function configOf({ lossFnConfig, lossFnConfigV2 }: WireForwardBackwardRequest): ReadonlyMap<string, number | string> {
  const config = new Map<string, number | string>(lossFnConfig);
  for (const [key, { number, text }] of lossFnConfigV2) config.set(key, text ?? number ?? 0);
  return config;
}

/** What the protocol's own losses report. */
const plain = ({ logprobs, loss }: PassResult): PassResult => ({ logprobs, ...(loss !== undefined && { loss }) });

function outputOf({ logprobs, entropies, margins, loss, metrics }: PassResult): FutureResult {
  const fields = new Map([["logprobs", batchedFloats(logprobs)]]);
  if (entropies) fields.set("entropies", batchedFloats(entropies));
  if (margins) fields.set("margins", batchedFloats(margins));
  return {
    kind: "protobuf",
    bytes: FORWARD_BACKWARD_OUTPUT.encode({
      lossFnOutputType: "ArrayRecord",
      lossFnOutputs: [{ typeTag: "", fields, numDatums: logprobs.length }],
      // Clients take every name apart at its one colon, and ask for this one.
      metrics: new Map([...(metrics ?? []), ["loss:sum", loss ?? 0]]),
    }),
  };
}

/**
 * The draw of a token at its place: the uniform number is a function of (seed, iteration, prompt id, sample, position)
 * and of nothing else.
 */

import { EngineError } from "../../errors.ts";
import { hashString, philox } from "../../random.ts";
import type { SamplingParams } from "../contract/sampler.ts";
import { type Draw, drawToken } from "./draw.ts";

const SAMPLING_STREAM = hashString("sampling");

/** Where a token stands. */
export interface DrawPlace {
  readonly promptId: number;
  readonly sampleIndex: number;
  /** 0 for the first token of the completion. */
  readonly position: number;
}

/** The next token of a completion, from its logits [V]. Throws EngineError where they are not finite. */
export function drawAt(
  logits: Float32Array,
  params: SamplingParams,
  { promptId, sampleIndex, position }: DrawPlace,
): Draw {
  const counter = [position, sampleIndex, promptId, params.iteration] as const;
  const u = philox(params.seed, SAMPLING_STREAM, counter)[0] / 0x1_0000_0000;
  const tooEarly = position < (params.minCompletionTokens ?? 0);
  const draw = drawToken(logits, u, params, tooEarly ? params.stopTokenIds : []);
  if (!Number.isNaN(draw.logprob)) return draw;
  throw notFinite();
}

/** The error where a model's numbers are no numbers. */
export function notFinite(): EngineError {
  return new EngineError(
    "The policy's logits are not finite, so nothing can be sampled from it: its weights are damaged or have " +
      "diverged. Use an earlier checkpoint, or lower the learning rate.",
  );
}

/**
 * The draw of a token at its place: the uniform number is a function of (seed, iteration, prompt id, sample, position)
 * and of nothing else.
 */

import type { Draw, DrawRequest } from "../../compute/draw-token.ts";
import { EngineError } from "../../errors.ts";
import { hashString, philox } from "../../random.ts";
import type { SamplingParams } from "../contract/sampling.ts";

const SAMPLING_STREAM = hashString("sampling");
const NONE: readonly number[] = [];

/** Where a token stands. */
export interface DrawPlace {
  readonly promptId: number;
  readonly sampleIndex: number;
  /** 0 for the first token of the completion. */
  readonly position: number;
}

/** What the next token of a completion is drawn with, from a row of logits. */
export function drawRequest(
  row: number,
  params: SamplingParams,
  { promptId, sampleIndex, position }: DrawPlace,
): DrawRequest {
  const counter = [position, sampleIndex, promptId, params.iteration] as const;
  const u = philox(params.seed, SAMPLING_STREAM, counter)[0] / 0x1_0000_0000;
  const tooEarly = position < (params.minCompletionTokens ?? 0);
  return { row, u, options: params, excluded: tooEarly ? params.stopTokenIds : NONE, topLogprobs: 0 };
}

/** Throws EngineError for a draw from logits that were not finite. */
export function requireSound({ logprob }: Pick<Draw, "logprob">): void {
  if (!Number.isNaN(logprob)) return;
  throw new EngineError(
    "The policy's logits are not finite, so nothing can be sampled from it: its weights are damaged or have " +
      "diverged. Use an earlier checkpoint, or lower the learning rate.",
  );
}

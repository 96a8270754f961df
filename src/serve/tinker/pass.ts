/** What a pass of forward_backward is given, and what it comes to. */

import type { ForwardBackwardResult } from "../../engine/contract/policy.ts";
import type { ScoreResult, Scorer } from "../../engine/contract/sampler.ts";

/** What a pass came to: what is reported of each datum, and the loss where there is one. */
export type PassResult = ScoreResult & Partial<Pick<ForwardBackwardResult, "margins" | "loss">>;

/** Lets `work` score with the weights of a sampling session. */
export type LendScorer = <T>(samplingSessionId: string, work: (scorer: Scorer) => Promise<T>) => Promise<T>;

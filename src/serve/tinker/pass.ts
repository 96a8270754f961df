/** What a pass of forward_backward is given, and what it comes to. */

import type { ForwardBackwardResult } from "../../engine/contract/policy.ts";
import type { ScoreResult, Scorer } from "../../engine/contract/sampler.ts";
import type { TracedLoss } from "./custom-loss/traced-graph.ts";

/** What a pass came to: what is reported of each datum, and the loss where there is one. */
export type PassResult = ScoreResult &
  Partial<Pick<ForwardBackwardResult, "margins" | "loss">> & {
    /** By names that end in how they combine, as `:sum`. */
    readonly metrics?: ReadonlyMap<string, number>;
  };

/** Lets `work` score with the weights of a sampling session. */
export type LendScorer = <T>(samplingSessionId: string, work: (scorer: Scorer) => Promise<T>) => Promise<T>;

/** What a pass may use of its client's session beside the model. */
export interface PassReach {
  readonly scorers: LendScorer;
  /** A loss that was uploaded. Throws RequestFailure where the session has none of this id. */
  readonly loss: (id: string) => TracedLoss;
}

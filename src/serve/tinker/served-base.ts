/** The base that all models of a Tinker server are adapters of. */

import type { PolicyInfo } from "../../engine/contract/policy.ts";
import type { SharedBase } from "../../engine/engine-kind.ts";
import { RequestFailure } from "./refusal.ts";
import type { SampledModel } from "./sample.ts";

/** What is known of it. */
export interface ServedBase extends SampledModel {
  /** What clients call it. */
  readonly name: string;
  readonly base: SharedBase;
  readonly info: PolicyInfo;
  /** Where its tokenizer is: a directory, or a name on the Hub. */
  readonly tokenizerId: string;
}

/** Throws RequestFailure for the name of a base that this server does not have. */
export function requireBase(base: ServedBase, name: string): void {
  if (name === base.name) return;
  throw new RequestFailure(`This server has the model ${base.name}, not ${JSON.stringify(name.slice(0, 200))}.`);
}

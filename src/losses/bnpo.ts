/** GRPO's term with a mean over the tokens of the step: every one counts the same. TRL's `bnpo`. */

import { grpo } from "./grpo.ts";
import { overStepTokens } from "./means.ts";
import { defineLoss } from "./policy-loss.ts";

/** The entry; see the file's header. */
export const bnpo = defineLoss({
  ...grpo,
  name: "bnpo",
  summary: "the clipped ratio; every token of the step counts the same",
  citation: "TRL's bnpo; its local batch is the whole optimizer step here",
  mean: overStepTokens,
  trl: { ...grpo.trl!, name: "bnpo", note: "the local batch is the whole optimizer step here" },
});

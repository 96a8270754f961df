/** LUSPO (arXiv:2602.05261): GRPO's term, summed over the tokens of a completion, so that long ones count more. */

import { grpo } from "./grpo.ts";
import { sumsOverCompletions } from "./means.ts";
import { defineLoss } from "./policy-loss.ts";

/** The entry; see the file's header. */
export const luspo = defineLoss({
  ...grpo,
  name: "luspo",
  summary: "the clipped ratio, summed over a completion's tokens",
  citation: "LUSPO, arXiv:2602.05261",
  mean: sumsOverCompletions,
  trl: { ...grpo.trl!, name: "luspo" },
});

/** Dr. GRPO (arXiv:2503.20783): GRPO's term over a constant number of tokens, so that no length is favoured. */

import { grpo } from "./grpo.ts";
import { overPossibleTokens } from "./means.ts";
import { defineLoss } from "./policy-loss.ts";

/** The entry; see the file's header. */
export const drGrpo = defineLoss({
  ...grpo,
  name: "dr_grpo",
  summary: "the clipped ratio, divided by a constant: no bias by length",
  citation: "Dr. GRPO, arXiv:2503.20783",
  mean: overPossibleTokens,
  trl: { ...grpo.trl!, name: "dr_grpo" },
});

/** DAPO (arXiv:2503.14476, §3.3): GRPO's term with a mean over the tokens of the iteration. */

import { grpo } from "./grpo.ts";
import { overIterationTokens } from "./means.ts";
import { defineLoss } from "./policy-loss.ts";

/** The entry; see the file's header. */
export const dapo = defineLoss({
  ...grpo,
  name: "dapo",
  summary: "the clipped ratio; every token of the iteration counts the same",
  citation: "DAPO, arXiv:2503.14476, §3.3",
  mean: overIterationTokens,
  trl: { ...grpo.trl!, name: "dapo" },
});

/**
 * RLOO's policy term (Ahmadian et al., arXiv:2402.14740): the clipped ratio of whole completions, the product of their
 * tokens' ratios. The term is one number for a completion, which its tokens share; so it reads them all and has no graph.
 */

import { grpo } from "./grpo.ts";
import { defineLoss } from "./policy-loss.ts";

const { graph: _graph, trl: _trl, engineName: _engineName, ...clipped } = grpo;

/** The entry; see the file's header. */
export const rloo = defineLoss({
  ...clipped,
  name: "rloo",
  summary: "the clipped ratio of whole completions; every completion counts the same",
  citation: "Ahmadian et al., arXiv:2402.14740",
  ratio: "product",
  unread: { importanceSamplingLevel: "rloo takes the ratio of whole completions by itself" },
});

/**
 * `judge`: another model as the judge, behind an OpenAI-compatible endpoint. It is given a rubric, the prompt and the
 * completion (or the part after `</think>`), and answers with a number in a range, which becomes a score from 0 to 1.
 *
 * DeepSeek-R1 (arXiv:2501.12948 §2.3.4) judges helpfulness on the final summary only and harmlessness on the whole
 * completion: `part`. The idea of a model as judge, and its biases, are Zheng et al.'s (arXiv:2306.05685).
 *
 * A judge that is down, too slow, over its limits or answers nonsense is an abstention with the reason. After a failure
 * that outlasted all tries nothing more of the same batch is sent (answers that are kept are still used): a run does not wait for each completion's time limit.
 * The cache makes a resumed run get the same scores; an answer without a verdict is not kept.
 */

import { PATIENCE_KEYS } from "../endpoint/options.ts";
import { ConfigError } from "../errors.ts";
import { defineRewardEntry } from "./entry.ts";
import { ModelJudge } from "./grader/model-judge.ts";
import { judgeOptions } from "./grader/options.ts";
import { lazyReward } from "./lazy-reward.ts";

/** The entry; see the file's header. */
export const modelJudge = defineRewardEntry({
  name: "judge",
  title: "Model as judge",
  summary: "a score from 0 to 1 by a model behind an OpenAI-compatible endpoint, after a rubric",
  citation: "Zheng et al., arXiv:2306.05685; DeepSeek-R1, arXiv:2501.12948 §2.3.4",
  columns: [],
  options: judgeOptions,
  identity: (given) => Object.fromEntries(Object.entries(given).filter(([key]) => !PATIENCE_KEYS.includes(key))),
  create: (given, { endpoints }) =>
    lazyReward("judge", async () => {
      if (endpoints === undefined) {
        throw new ConfigError(
          "The reward judge asks an endpoint, and nothing that reaches one was handed in (endpoints; NODE_REACH has it).",
        );
      }
      return new ModelJudge(given, endpoints.open(given));
    }),
});

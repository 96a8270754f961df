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

import { z } from "zod";
import type { EndpointClient } from "../endpoint/client.ts";
import { endpointShape, openEndpoint, refineEndpoint } from "../endpoint/options.ts";
import { AhaError, ConfigError, EndpointError } from "../errors.ts";
import { summaryOf } from "../expression/answer.ts";
import { defineReward } from "./definition.ts";
import { DEFAULT_RUBRIC, gradingMessages, type QuestionForm } from "./grader/question.ts";
import { readVerdict } from "./grader/verdict.ts";
import type { BatchReward, RewardInput, RewardResult } from "./reward.ts";

/** Failures after which the next request would fail too, each after its time. */
const LOST: ReadonlySet<EndpointError["kind"]> = new Set(["unreachable", "busy", "timeout"]);
/** Failures that are the judge's, not the completion's: another time it may have a verdict. */
const PASSING: ReadonlySet<EndpointError["kind"]> = new Set([...LOST, "budget"]);
/** Longest completion that is sent; cut ones would be judged for what is missing. */
const MAX_CHARACTERS = 400_000;

const options = z
  .strictObject({
    ...endpointShape,
    rubric: z.string().min(1).default(DEFAULT_RUBRIC).describe("what to judge; {COLUMN} is the row's column"),
    part: z
      .enum(["summary", "completion"])
      .default("summary")
      .describe("what is judged: the text after </think>, or the whole completion"),
    verdict: z
      .enum(["marker", "json"])
      .default("marker")
      .describe("how the judge answers: a last line SCORE: n, or one JSON object"),
    minScore: z.number().default(0).describe("the judge's worst, which scores 0"),
    maxScore: z.number().default(10).describe("the judge's best, which scores 1"),
    temperature: z.number().min(0).default(0).describe("the judge's sampling temperature"),
    maxCompletionTokens: z.int().min(1).default(1024).describe("longest answer of the judge"),
  })
  .superRefine(({ minScore, maxScore }, context) => {
    if (minScore < maxScore) return;
    context.addIssue({ code: "custom", path: ["minScore"], message: "must be below maxScore" });
  })
  .superRefine(refineEndpoint);

export const modelJudge = defineReward({
  name: "judge",
  title: "Model as judge",
  summary: "a score from 0 to 1 by a model behind an OpenAI-compatible endpoint, after a rubric",
  citation: "Zheng et al., arXiv:2306.05685; DeepSeek-R1, arXiv:2501.12948 §2.3.4",
  columns: [],
  options,
  create: (given) => new ModelJudge(given),
});

/** What a checkpoint keeps. */
const stateSchema = z.object({
  requests: z.number().min(0),
  promptTokens: z.number().min(0),
  completionTokens: z.number().min(0),
});

class ModelJudge implements BatchReward {
  readonly name = "judge";
  readonly #options: z.output<typeof options>;
  readonly #form: QuestionForm;
  readonly #client: EndpointClient;
  /** Of the batches that are judged just now. */
  readonly #underWay = new Set<AbortController>();

  constructor(given: z.output<typeof options>) {
    this.#options = given;
    this.#form = given;
    this.#client = openEndpoint(given);
  }

  /** Goes on with the usage of an earlier session. The judge itself is not asked: it may come up later. */
  async open(state?: string): Promise<void> {
    if (state === undefined) return;
    const parsed = stateSchema.safeParse(jsonOf(state));
    if (!parsed.success) throw new ConfigError("The judge's state in the checkpoint is not in its form.");
    this.#client.restoreSpent(parsed.data);
  }

  state(): string {
    return JSON.stringify(this.#client.spent);
  }

  stop(): void {
    for (const lost of this.#underWay) lost.abort(new EndpointError("unreachable", "stopped"));
  }

  /** Never rejects on account of the judge. */
  async judgeBatch(inputs: readonly RewardInput[]): Promise<RewardResult[]> {
    const lost = new AbortController();
    this.#underWay.add(lost);
    const results: RewardResult[] = inputs.map(() => ({ score: null, reason: "not asked" }));
    const waiting = [...inputs.keys()];
    const work = async () => {
      for (let index = waiting.shift(); index !== undefined; index = waiting.shift()) {
        results[index] = await this.#judge(inputs[index]!, lost);
      }
    };
    await Promise.all(Array.from({ length: this.#options.concurrency }, work));
    this.#underWay.delete(lost);
    return results;
  }

  async #judge(input: RewardInput, lost: AbortController): Promise<RewardResult> {
    if (input.completion.length > MAX_CHARACTERS) {
      return { score: null, reason: `longer than the ${MAX_CHARACTERS} characters that a judge is sent` };
    }
    const judged = this.#options.part === "summary" ? summaryOf(input.completion).trim() : input.completion;
    try {
      const answer = await this.#client.complete(
        {
          messages: gradingMessages(this.#form, input, judged),
          temperature: this.#options.temperature,
          maxCompletionTokens: this.#options.maxCompletionTokens,
          json: this.#options.verdict === "json",
        },
        lost.signal,
        ({ text }) => !("fault" in readVerdict(text, this.#form)),
      );
      const verdict = readVerdict(answer.text, this.#form);
      if ("fault" in verdict) return { score: null, reason: `the judge gave no verdict: ${verdict.fault}` };
      const { minScore, maxScore } = this.#form;
      const words = verdict.words === "" ? "" : `: ${verdict.words}`;
      return { score: (verdict.value - minScore) / (maxScore - minScore), reason: `${verdict.value}${words}` };
    } catch (error) {
      if (lost.signal.aborted && error === lost.signal.reason) {
        const why = error instanceof EndpointError ? `: ${error.message}` : "";
        return { score: null, reason: `the judge was lost while this batch was judged${why}`, isLost: true };
      }
      if (error instanceof EndpointError && LOST.has(error.kind)) lost.abort(error);
      if (!(error instanceof AhaError)) throw error;
      const isLost = error instanceof EndpointError && PASSING.has(error.kind);
      return { score: null, reason: `the judge cannot be asked: ${error.message}`, ...(isLost && { isLost }) };
    }
  }
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

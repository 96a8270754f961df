/**
 * The judge of `../model-judge.ts` at work: it sends questions to an endpoint, reads verdicts from the answers, and
 * handles answers that are missing.
 */

import { z } from "zod";
import type { Endpoint } from "../../endpoint/endpoint.ts";
import { AhaError, ConfigError, EndpointError } from "../../errors.ts";
import { summaryOf } from "../../expression/answer.ts";
import type { BatchReward, RewardInput, RewardResult } from "../reward.ts";
import type { JudgeOptions } from "./options.ts";
import { gradingMessages, type QuestionForm } from "./question.ts";
import { readVerdict } from "./verdict.ts";

/** Failures after which the next request would fail too, each after its time. */
const LOST: ReadonlySet<EndpointError["kind"]> = new Set(["unreachable", "busy", "timeout"]);
/** Failures of the judge, not of the completion: a later request may get a verdict. */
const PASSING: ReadonlySet<EndpointError["kind"]> = new Set([...LOST, "budget"]);
/**
 * The longest completion that is sent. A longer one is not cut, because the judge would then judge an incomplete text.
 */
const MAX_CHARACTERS = 400_000;

/** What a checkpoint keeps. */
const stateSchema = z.object({
  requests: z.number().min(0),
  promptTokens: z.number().min(0),
  completionTokens: z.number().min(0),
});

/** A model behind an endpoint as a reward; see the file's header. */
export class ModelJudge implements BatchReward {
  readonly name = "judge";
  readonly #options: JudgeOptions;
  readonly #form: QuestionForm;
  readonly #client: Endpoint;
  /** Of the batches that are judged just now. */
  readonly #underWay = new Set<AbortController>();

  constructor(given: JudgeOptions, client: Endpoint) {
    this.#options = given;
    this.#form = given;
    this.#client = client;
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

  /** Never rejects because of the judge. */
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
          messages: await gradingMessages(this.#form, input, judged),
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

/**
 * Sends many questions to one endpoint, and handles those that get no good answer:
 *
 *     the endpoint is down, too slow or its limit is used up   the step ends with an error; what was answered is kept
 *     the first question is refused (key, model, parameters)   the same: the next would be refused too
 *     one answer among good ones is nonsense, empty, refused   that one is left out, and the caller counts it
 *     nonsense many times in a row, or nothing else            the step ends with an error
 *
 * Answers lie in the client's cache, so a step that is run again asks only for what is missing and pays for no answer
 * twice. The costs so far are written beside the step's parts, so that a limit holds for the step as a whole, even if
 * it is resumed several times.
 */

import { z } from "zod";
import type { ChatAnswer } from "../endpoint/chat.ts";
import type { EndpointClient } from "../endpoint/client.ts";
import { openEndpoint } from "../endpoint/open.ts";
import { type EndpointConfig, endpointName } from "../endpoint/options.ts";
import { EndpointError, RunDirError } from "../errors.ts";
import { readTextFileIfPresent, writeWhole } from "../files.ts";
import { parseJson } from "../json-text.ts";

/** Bad answers without a good one between them after which no more are asked for. */
const MAX_BAD_IN_A_ROW = 16;
/** Kinds of failure after which further questions would fail, too. */
const LOST: ReadonlySet<EndpointError["kind"]> = new Set(["unreachable", "busy", "timeout", "budget"]);

const spentSchema = z.object({
  requests: z.number().min(0),
  promptTokens: z.number().min(0),
  completionTokens: z.number().min(0),
});

/** A good answer, or why there is none. */
export type Asked = ChatAnswer | { readonly fault: string };

/** Asks one question of the client. */
export type AskOne = (client: EndpointClient, signal: AbortSignal) => Promise<ChatAnswer>;

/** Asks an endpoint for a data step; see the file's header. */
export class EndpointAsker {
  readonly name: string;
  readonly #client: EndpointClient;
  readonly #concurrency: number;
  readonly #spentFile: string;
  #good = 0;
  #badInARow = 0;

  private constructor(config: EndpointConfig, client: EndpointClient, spentFile: string) {
    this.name = endpointName(config);
    this.#client = client;
    this.#concurrency = config.concurrency;
    this.#spentFile = spentFile;
  }

  /**
   * Goes on with what an earlier session had spent by `spentFile`.
   *
   * @throws ConfigError for an address that is none; RunDirError for a damaged file.
   */
  static async open(config: EndpointConfig, spentFile: string): Promise<EndpointAsker> {
    const client = openEndpoint(config);
    const text = await readTextFileIfPresent(spentFile, { maxBytes: 4096, error: RunDirError });
    if (text !== undefined) {
      const parsed = spentSchema.safeParse(parseJson(text, spentFile, RunDirError));
      if (!parsed.success)
        throw new RunDirError(`${spentFile} is not as Aha writes it. Delete the file and run again.`);
      client.restoreSpent(parsed.data);
    }
    return new EndpointAsker(config, client, spentFile);
  }

  /** What was paid for, in all sessions. */
  get spent() {
    return this.#client.spent;
  }

  /**
   * The answers in order. `onTokens` gets the number of tokens of all answers so far.
   *
   * @throws EndpointError where no more can be asked, when the requests under way have ended; an aborted signal's reason.
   */
  async askAll(
    questions: readonly AskOne[],
    signal: AbortSignal,
    onTokens?: (tokens: number) => void,
  ): Promise<Asked[]> {
    const answers: Asked[] = questions.map(() => ({ fault: "not asked" }));
    const waiting = [...questions.keys()];
    let [tokens, goodHere] = [0, 0];
    let stopped: { readonly error: unknown } | undefined;
    const work = async () => {
      for (let index = waiting.shift(); index !== undefined && !stopped; index = waiting.shift()) {
        try {
          const answer = await questions[index]!(this.#client, signal);
          if (`${answer.text}${answer.reasoning ?? ""}`.trim() === "") {
            throw new EndpointError("malformed", "its answer is empty");
          }
          answers[index] = answer;
          this.#good++;
          goodHere++;
          this.#badInARow = 0;
          tokens += answer.usage.completionTokens;
          onTokens?.(tokens);
        } catch (error) {
          answers[index] = { fault: this.#faultOf(error, (reason) => (stopped ??= { error: reason })) };
        }
      }
    };
    await Promise.all(Array.from({ length: Math.min(this.#concurrency, questions.length) }, work));
    if (this.#client.spent.requests > 0) await writeWhole(this.#spentFile, `${JSON.stringify(this.#client.spent)}\n`);
    if (stopped) throw stopped.error;
    const bad = answers.find((answer) => "fault" in answer);
    if (bad !== undefined && goodHere === 0) throw this.#end("malformed", `no answer can be used: ${bad.fault}`);
    return answers;
  }

  /** Why there is no answer; calls `stop` where there will be none to other questions either. */
  #faultOf(error: unknown, stop: (reason: unknown) => void): string {
    if (!(error instanceof EndpointError)) {
      stop(error);
      return "";
    }
    const { kind, message } = error;
    this.#badInARow++;
    if (LOST.has(kind) || (kind === "refused" && this.#good === 0)) stop(this.#end(kind, message));
    else if (this.#badInARow >= MAX_BAD_IN_A_ROW) {
      stop(this.#end(kind, `${this.#badInARow} answers in a row cannot be used: ${message}`));
    }
    return message;
  }

  #end(kind: EndpointError["kind"], message: string): EndpointError {
    return new EndpointError(
      kind,
      `${this.name}: ${message}. What it has answered is kept. When the cause is corrected, run the same command to go on.`,
    );
  }
}

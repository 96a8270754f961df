/** What the contract promises about the log-probabilities that a session reports, of prompts too, and about adjusted draws. */

import type { Sampler } from "../contract/sampler.ts";
import type { DrawnToken, LogitAdjustments, PromptLogprobs } from "../contract/session.ts";
import { sampled, sessionCheck } from "./session-checks.ts";
import {
  type ConformanceCheck,
  FREE_SAMPLING,
  LOGPROB_TOLERANCE,
  nextLogprobs,
  randomTokens,
  require,
  requireAllClose,
  somePrompts,
} from "./subject.ts";

/** Tokens from the most probable down. */
const ranked = (logprobs: readonly number[]) =>
  [...logprobs.keys()].sort((a, b) => logprobs[b]! - logprobs[a]! || a - b);

/** The scores of a prompt, from `score`: of each token but the first. */
async function expectedScores(engine: Sampler, tokens: Int32Array): Promise<Float32Array> {
  if (tokens.length < 2) return new Float32Array(0);
  const datum = { promptTokens: tokens.subarray(0, 1), completionTokens: tokens.subarray(1) };
  return (await engine.score([datum], { temperature: 1 })).logprobs[0]!;
}

/** Log-probabilities after bias, frequency and presence penalty, but for a constant. */
function adjusted(logprobs: readonly number[], completion: readonly number[], adjustments: LogitAdjustments): number[] {
  const { bias, frequencyPenalty = 0, presencePenalty = 0 } = adjustments;
  return logprobs.map((logprob, token) => {
    const count = completion.filter((other) => other === token).length;
    return logprob + (bias?.get(token) ?? 0) - frequencyPenalty * count - (count > 0 ? presencePenalty : 0);
  });
}

/** The promises about scores. */
export const SESSION_LOGPROB_CHECKS: readonly ConformanceCheck[] = [
  sessionCheck(
    "a prompt's tokens are scored where that is asked for, before anything is drawn",
    async (session, engine) => {
      const prompts = somePrompts(engine.info).map(({ tokens }) => tokens);
      const results = prompts.map(async (tokens, promptId) => {
        const events: (PromptLogprobs | number)[] = [];
        // One prompt of each kind: with a longer completion, with one token, with none.
        const params = { ...FREE_SAMPLING, maxCompletionTokens: [3, 1, 0, 0][promptId]! };
        const request = { tokens, promptId, sampleIndex: 0, params, promptLogprobs: [2, 0, 3, 1][promptId]! };
        const sequence = session.submit(
          request,
          ({ token }) => events.push(token),
          (prompt) => events.push(prompt),
        );
        return { tokens, request, end: await sequence.finished, events };
      });
      for (const { tokens, request, end, events } of await Promise.all(results)) {
        const { promptLogprobs: count, params } = request;
        require(end === "length", `a sequence of ${params.maxCompletionTokens} tokens ended for ${end}`);
        const [prompt, ...drawn] = events as [PromptLogprobs, ...number[]];
        require(typeof prompt === "object", "a token was drawn before the prompt's scores came, or they never came");
        require(drawn.length === params.maxCompletionTokens, `${drawn.length} tokens were drawn`);
        const scores = await expectedScores(engine, tokens);
        requireAllClose("log-probabilities of a prompt", [prompt.logprobs], [scores], LOGPROB_TOLERANCE);
        require(prompt.topTokens.length ===
          count * scores.length, `${prompt.topTokens.length} alternatives of ${count} each`);
        for (let t = 0; t < scores.length; t++) {
          const logprobs = await nextLogprobs(engine, tokens.subarray(0, t + 1), 1);
          const top = [...prompt.topTokens.subarray(t * count, (t + 1) * count)];
          const expected = ranked(logprobs)
            .slice(0, count)
            .map((token) => logprobs[token]!);
          requireAllClose(
            "top log-probabilities",
            [prompt.topLogprobs.subarray(t * count, (t + 1) * count)],
            [expected],
            LOGPROB_TOLERANCE,
          );
          requireAllClose(
            "log-probabilities of top tokens",
            [top.map((token) => logprobs[token]!)],
            [expected],
            LOGPROB_TOLERANCE,
          );
          const own = top.indexOf(tokens[t + 1]!);
          const equal = own < 0 || prompt.topLogprobs[t * count + own] === prompt.logprobs[t];
          require(equal, "a token among its own alternatives has another log-probability there");
        }
      }
    },
  ),

  sessionCheck(
    "log-probabilities may be asked for at another temperature than that of the draw",
    async (session, engine) => {
      const tokens = randomTokens(engine.info, 4, 9);
      for (const [temperature, logprobTemperature] of [
        [0.6, 1],
        [0, 1.5],
        [1.4, 0.5],
      ] as const) {
        const params = { ...FREE_SAMPLING, temperature, maxCompletionTokens: 1 };
        const request = { tokens, promptId: 3, sampleIndex: 1, params };
        const plain = await sampled(session, request);
        const drawn: DrawnToken[] = [];
        const other = await sampled(session, { ...request, logprobTemperature, topLogprobs: 2 }, (token) =>
          drawn.push(token),
        );
        require(plain.tokens.join() === other.tokens.join(), "another temperature of log-probabilities, another draw");
        const logprobs = await nextLogprobs(engine, tokens, logprobTemperature);
        const [{ token, logprob, top }] = drawn as [DrawnToken];
        const expected = [token, ...ranked(logprobs).slice(0, 2)].map((id) => logprobs[id]!);
        requireAllClose(
          "log-probabilities",
          [[logprob, ...top.map((entry) => entry.logprob)]],
          [expected],
          LOGPROB_TOLERANCE,
        );
      }
    },
  ),

  sessionCheck(
    "biases and penalties change the draw, and not the log-probability that is reported",
    async (session, engine) => {
      const tokens = randomTokens(engine.info, 5, 17);
      const cases: LogitAdjustments[] = [
        { bias: new Map([[3, 100]]) },
        {
          bias: new Map([
            [3, 100],
            [5, 99],
          ]),
          frequencyPenalty: 0.7,
        },
        { presencePenalty: 50 },
        { bias: new Map([[2, 4]]), frequencyPenalty: 2, presencePenalty: -0.5 },
      ];
      for (const adjustments of cases) {
        const params = { ...FREE_SAMPLING, temperature: 0 };
        const { tokens: drawn, logprobs } = await sampled(session, {
          tokens,
          promptId: 0,
          sampleIndex: 0,
          params,
          adjustments,
        });
        for (const [t, token] of drawn.entries()) {
          const before = drawn.slice(0, t);
          const plain = await nextLogprobs(engine, Int32Array.from([...tokens, ...before]), 1);
          const scores = adjusted(plain, before, adjustments);
          const best = Math.max(...scores);
          const what = JSON.stringify({ ...adjustments, bias: [...(adjustments.bias ?? [])] });
          require(scores[token]! >=
            best - LOGPROB_TOLERANCE, `${what}: token ${t} is ${token}, and ${scores.indexOf(best)} is more probable`);
          requireAllClose(
            "log-probability of an adjusted draw",
            [[logprobs[t]!]],
            [[plain[token]!]],
            LOGPROB_TOLERANCE,
          );
        }
      }
      const neutral = { bias: new Map(), repetitionPenalty: 1, frequencyPenalty: 0, presencePenalty: 0 };
      const request = { tokens, promptId: 4, sampleIndex: 2, params: FREE_SAMPLING };
      const [own, plain] = [
        await sampled(session, { ...request, adjustments: neutral }),
        await sampled(session, request),
      ];
      require(own.tokens.join() === plain.tokens.join(), "adjustments that change nothing changed the draw");
    },
  ),

  sessionCheck("a repetition penalty drives out what the prompt or the completion has", async (session, engine) => {
    // The effect of a penalty depends on where the model's logits lie, so only its extremes can be checked.
    const tokens = randomTokens(engine.info, 2, 23);
    const params = { ...FREE_SAMPLING, temperature: 0 };
    const request = { tokens, promptId: 0, sampleIndex: 0, params };
    const bias = new Map(Array.from({ length: engine.info.vocabSize }, (_, token) => [token, -1000]));
    const { tokens: drawn } = await sampled(session, { ...request, adjustments: { bias, repetitionPenalty: 2 } });
    const fresh = new Set(drawn).size === drawn.length && drawn.every((token) => !tokens.includes(token));
    require(fresh, `with negative logits and a repetition penalty of 2, ${tokens.join()} goes on with ${drawn.join()}`);
  }),
];

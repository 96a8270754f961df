/**
 * What the contract promises about sampling sessions. An engine without sessions makes none of these promises, so it
 * passes.
 */

import { EngineError } from "../../errors.ts";
import type { Policy } from "../contract/policy.ts";
import type { SamplingParams } from "../contract/sampling.ts";
import type { DrawnToken, SamplingSession, SequenceEnd, SequenceRequest } from "../contract/session.ts";
import {
  type ConformanceCheck,
  engineCheck,
  FREE_SAMPLING,
  gradientDescent,
  nextLogprobs,
  randomTokens,
  require,
  requireAllClose,
  requireRejection,
  someData,
  somePrompts,
} from "./subject.ts";

/** How far log-probabilities may be from those of other batches, in nats. */
const LOGPROB_TOLERANCE = 1e-4;

export interface SessionSample {
  readonly tokens: number[];
  readonly logprobs: number[];
  readonly end: SequenceEnd;
}

/** A check on a session, which is closed afterwards; an engine without sessions passes it. */
export function sessionCheck(
  name: string,
  work: (session: SamplingSession, engine: Policy) => Promise<void>,
): ConformanceCheck {
  return engineCheck(name, ["sessions", "seededDraws", "scoringTemperature"], async (engine) => {
    const session = engine.openSession?.();
    require(session !== undefined, "the engine promises sessions and opens none");
    try {
      await work(session, engine);
    } finally {
      await session.close();
    }
  });
}

/** Samples one sequence to its end; `onToken`, if given, gets each token. */
export async function sampled(
  session: SamplingSession,
  request: SequenceRequest,
  onToken: (token: DrawnToken) => void = () => {},
): Promise<SessionSample> {
  const tokens: number[] = [];
  const logprobs: number[] = [];
  const sequence = session.submit(request, (drawn) => {
    tokens.push(drawn.token);
    logprobs.push(drawn.logprob);
    onToken(drawn);
  });
  return { end: await sequence.finished, tokens, logprobs };
}

/** Requests of every kind at once: prompts, limits, restrictions and seeds of their own. */
function mixedRequests(engine: Policy): SequenceRequest[] {
  const changes: Partial<SamplingParams>[] = [
    {},
    { temperature: 0 },
    { temperature: 0.7, topK: 3, seed: 5 },
    { temperature: 1.5, topP: 0.8, minP: 0.05, maxCompletionTokens: 11 },
    { stopTokenIds: [0, 1, 2, 3, 4], maxCompletionTokens: 12, minCompletionTokens: 2 },
    { maxCompletionTokens: 1, iteration: 9 },
  ];
  return somePrompts(engine.info).flatMap(({ tokens, promptId }) =>
    changes.map((change, sampleIndex) => ({
      tokens,
      promptId,
      sampleIndex,
      params: { ...FREE_SAMPLING, ...change },
    })),
  );
}

/** What `sample` makes of a request. */
async function expectedSample(engine: Policy, request: SequenceRequest): Promise<SessionSample> {
  const { tokens, promptId, sampleIndex, params } = request;
  const samples = await engine.sample([{ tokens, promptId, numSamples: sampleIndex + 1 }], params);
  const { tokens: drawn, logprobs, finishReason } = samples[sampleIndex]!;
  return { tokens: [...drawn], logprobs: [...logprobs], end: finishReason };
}

function requireSame(what: string, actual: SessionSample, expected: SessionSample): void {
  const [own, wanted] = [actual.tokens.join(" "), expected.tokens.join(" ")];
  require(own === wanted, `${what} is ${own}, not ${wanted}`);
  require(actual.end === expected.end, `${what} ended for ${actual.end}, not ${expected.end}`);
  requireAllClose(`log-probabilities of ${what}`, [actual.logprobs], [expected.logprobs], LOGPROB_TOLERANCE);
}

/** The promises about sessions. */
export const SESSION_CHECKS: readonly ConformanceCheck[] = [
  sessionCheck("a session samples what sample does, whatever else is in its batch", async (session, engine) => {
    const requests = mixedRequests(engine);
    const together = await Promise.all(requests.map((request) => sampled(session, request)));
    for (const [i, request] of requests.entries()) {
      requireSame(`sequence ${i}`, together[i]!, await expectedSample(engine, request));
    }
    require(session.load.active + session.load.waiting === 0, "a session without work says that it is busy");
  }),

  sessionCheck("sequences may join at any time", async (session, engine) => {
    const requests = mixedRequests(engine);
    const joined: Promise<SessionSample>[] = [];
    const start = (i: number): Promise<SessionSample> => {
      let next = i + 1 < requests.length ? i + 1 : undefined;
      const running = sampled(session, requests[i]!, () => {
        // With its first token a sequence brings in the next one.
        if (next !== undefined) joined[next] = start(next);
        next = undefined;
      });
      return running;
    };
    joined[0] = start(0);
    for (const [i, request] of requests.entries()) {
      requireSame(`sequence ${i}`, await joined[i]!, await expectedSample(engine, request));
    }
  }),

  sessionCheck("the most probable tokens are reported where they are asked for", async (session, engine) => {
    for (const temperature of [0, 0.7]) {
      const prompt = randomTokens(engine.info, 4, 9);
      const params = { ...FREE_SAMPLING, temperature, maxCompletionTokens: 1 };
      const drawn: DrawnToken[] = [];
      const request = { tokens: prompt, promptId: 1, sampleIndex: 0, params };
      await sampled(session, { ...request, topLogprobs: 5 }, (token) => drawn.push(token));
      const logprobs = await nextLogprobs(engine, prompt, temperature === 0 ? 1 : temperature);
      const ranked = [...logprobs.keys()].sort((a, b) => logprobs[b]! - logprobs[a]!).slice(0, 5);
      const { top } = drawn[0]!;
      require(top.map(({ token }) => token).join() ===
        ranked.join(), `top tokens ${JSON.stringify(top)}, not ${ranked}`);
      const expected = ranked.map((token) => logprobs[token]!);
      requireAllClose("top log-probabilities", [top.map(({ logprob }) => logprob)], [expected], LOGPROB_TOLERANCE);
      await sampled(session, request, ({ top: none }) => require(none.length === 0, "alternatives nobody asked for"));
    }
  }),

  sessionCheck("a sequence that is cancelled hands out nothing more, and the others go on", async (session, engine) => {
    const requests = mixedRequests(engine);
    const ends: Promise<SessionSample | SequenceEnd>[] = requests.map((request, i) => {
      if (i % 2 === 0) return sampled(session, request);
      let count = 0;
      const sequence = session.submit(request, () => {
        require(++count <= 3, "a token came after the sequence was cancelled");
        if (count === 3) sequence.cancel();
      });
      if (i % 5 === 0) sequence.cancel();
      return sequence.finished;
    });
    for (const [i, request] of requests.entries()) {
      const actual = await ends[i]!;
      const expected = await expectedSample(engine, request);
      if (typeof actual === "object") requireSame(`sequence ${i}`, actual, expected);
      else {
        const wanted = i % 5 === 0 || expected.tokens.length >= 3 ? "cancelled" : expected.end;
        require(actual === wanted, `sequence ${i} ended for ${actual}, not ${wanted}`);
      }
    }
  }),

  sessionCheck("an error thrown by the token callback ends that sequence alone", async (session, engine) => {
    const [request, other] = mixedRequests(engine) as [SequenceRequest, SequenceRequest];
    const running = sampled(session, other);
    const fail = () => {
      throw new RangeError("seen enough");
    };
    await requireRejection("sampling", RangeError, () => session.submit(request, fail).finished);
    requireSame("the other sequence", await running, await expectedSample(engine, other));
  }),

  sessionCheck(
    "a step on the weights waits for what is being sampled, and what follows uses it",
    async (session, engine) => {
      const request = { ...mixedRequests(engine)[3]!, sampleIndex: 0 };
      const data = someData(engine.info);
      const before = await expectedSample(engine, request);
      await engine.forwardBackward(data, { name: "cross_entropy" });
      let step: Promise<unknown> | undefined;
      const running = await sampled(session, request, () => {
        step ??= engine.optimStep(gradientDescent(1));
      });
      requireSame("the sequence that a step waited for", running, before);
      await step;
      const after = await sampled(session, request);
      requireSame("the sequence after the step", after, await expectedSample(engine, request));
      require(after.logprobs[0] !== before.logprobs[0] ||
        after.tokens[0] !== before.tokens[0], "a step on the weights changed nothing");
    },
  ),

  sessionCheck("what cannot be sampled is refused, and so is everything once it is closed", async (session, engine) => {
    const request = mixedRequests(engine)[0]!;
    const { params } = request;
    const tooLong = randomTokens(engine.info, engine.info.maxContextTokens, 3);
    const bad: [string, SequenceRequest][] = [
      ["a prompt without tokens", { ...request, tokens: new Int32Array(0) }],
      ["a sequence beyond the context", { ...request, tokens: tooLong }],
      ["a token beyond the vocabulary", { ...request, tokens: Int32Array.of(engine.info.vocabSize) }],
      ["a negative temperature", { ...request, params: { ...params, temperature: -1 } }],
      ["a bias that is no number", { ...request, adjustments: { bias: new Map([[0, Number.NaN]]) } }],
      ["a bias beyond the vocabulary", { ...request, adjustments: { bias: new Map([[engine.info.vocabSize, 1]]) } }],
      ["a repetition penalty of 0", { ...request, adjustments: { repetitionPenalty: 0 } }],
      ["half an alternative", { ...request, promptLogprobs: 0.5 }],
    ];
    for (const [what, refused] of bad) {
      await requireRejection(what, EngineError, async () => session.submit(refused, () => {}));
    }
    const running = session.submit(request, () => {});
    await session.close();
    require((await running.finished) === "cancelled", "closing a session did not cancel what ran");
    await requireRejection("a closed session", EngineError, async () => session.submit(request, () => {}));
    const another = engine.openSession!();
    requireSame(
      "a sequence of another session",
      await sampled(another, request),
      await expectedSample(engine, request),
    );
    await another.close();
  }),
];

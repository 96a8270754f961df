/** Sessions over engines that only sample. */

import { expect, it } from "vitest";
import type { Sampler } from "../../src/engine/contract/sampler.ts";
import { SampledSession } from "../../src/engine/sampled-session.ts";

let answer = () => {};

/** Writes the tokens 5, 6 and the end, when `answer` is called. */
const engine = {
  info: { name: "writer", vocabSize: 9, maxContextTokens: 20, eosTokenIds: [1] },
  sample: async () => {
    await new Promise<void>((resolve) => {
      answer = resolve;
    });
    const [tokens, logprobs] = [Int32Array.of(5, 6, 1), Float32Array.of(-1, -2, -3)];
    return [{ promptIndex: 0, sampleIndex: 0, tokens, logprobs, finishReason: "stop" }];
  },
} as unknown as Sampler;

const request = {
  tokens: Int32Array.of(2, 3),
  promptId: 0,
  sampleIndex: 0,
  params: { temperature: 1, topP: 1, topK: 0, maxCompletionTokens: 4, stopTokenIds: [1], seed: 0, iteration: 0 },
};

it("hands out the tokens of a sequence when it has ended, and no more once its owner has had enough", async () => {
  const session = new SampledSession(engine);
  const told: number[] = [];
  const whole = session.submit(request, ({ token }) => told.push(token));
  expect(session.load.active).toBe(1);
  answer();
  expect(await whole.finished).toBe("stop");
  expect(told).toEqual([5, 6, 1]);
  const short = session.submit(request, ({ token }) => {
    told.push(token);
    short.cancel();
  });
  answer();
  expect(await short.finished).toBe("cancelled");
  expect(told).toEqual([5, 6, 1, 5]);
  expect(session.load.active).toBe(0);
});

it("ends what runs when it is closed, and rejects with what a listener threw", async () => {
  const session = new SampledSession(engine);
  const failing = session.submit(request, () => {
    throw new Error("enough");
  });
  answer();
  await expect(failing.finished).rejects.toThrow("enough");
  const running = session.submit(request, () => {});
  await session.close();
  expect(await running.finished).toBe("cancelled");
  expect(() => session.submit(request, () => {})).toThrow(/closed/);
});

it.each<[object, RegExp]>([
  [{ adjustments: { repetitionPenalty: 1.2 } }, /no biases and penalties/],
  [{ topLogprobs: 2 }, /no log-probabilities of other tokens/],
  [{ promptLogprobs: 0 }, /no log-probabilities of the prompt/],
  [{ sampleIndex: 1 }, /no second sample/],
])("refuses %j", (change, message) => {
  const session = new SampledSession(engine);
  expect(() => session.submit({ ...request, ...change }, () => {})).toThrow(message);
});

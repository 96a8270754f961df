/** What is sampled for a Tinker client: tables of alternatives, and the limit on what a request has to report. */

import { describe, expect, it } from "vitest";
import { DrawnTokens } from "../../src/serve/tinker/drawn-tokens.ts";
import { floatsIn, int32sIn } from "../../src/tinker/messages.ts";
import { startTinker } from "./tinker-server.ts";

describe("drawn tokens", () => {
  it("are numbers side by side, however many there are, with empty cells where there are fewer alternatives", () => {
    const drawn = new DrawnTokens(3);
    const top = (t: number) => Array.from({ length: 1 + (t % 3) }, (_, i) => ({ token: t + i, logprob: -i - 0.5 }));
    for (let t = 0; t < 200; t++) drawn.push({ token: t, logprob: -t, top: top(t) });
    expect([...drawn.tokens]).toEqual(Array.from({ length: 200 }, (_, t) => t));
    expect([...drawn.logprobs]).toEqual(Array.from({ length: 200 }, (_, t) => -t));
    const { tokenIds, logprobs, k, length } = drawn.top!;
    expect([k, length]).toEqual([3, 200]);
    expect([...int32sIn(tokenIds, "ids")].slice(3 * 130, 3 * 132)).toEqual([130, 131, 0, 131, 132, 133]);
    expect([...floatsIn(logprobs, "logprobs")].slice(3 * 130, 3 * 132)).toEqual([
      -0.5, -1.5, -99_999, -0.5, -1.5, -2.5,
    ]);
  });

  it("take no more than twice the memory of what was drawn, and none before", () => {
    const drawn = new DrawnTokens(1024);
    const taken = () => drawn.top!.tokenIds!.buffer.byteLength;
    expect([taken(), drawn.tokens.buffer.byteLength]).toEqual([0, 0]);
    for (let t = 1; t <= 9; t++) {
      drawn.push({ token: t, logprob: -t, top: [] });
      expect(taken()).toBeLessThanOrEqual(2 * t * 4 * 1024);
    }
  });

  it("have no table where no alternatives are reported", () => {
    const drawn = new DrawnTokens(0);
    drawn.push({ token: 5, logprob: -1, top: [{ token: 5, logprob: -1 }] });
    expect([[...drawn.tokens], drawn.top]).toEqual([[5], undefined]);
  });
});

describe("a request to sample", () => {
  it("whose result has too many bytes fails with a sentence, and others go on", async () => {
    const { url, defects } = await startTinker({ limits: { mostSampleBytes: 1000 } });
    const post = async (path: string, body: object) => {
      const init = { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
      return fetch(`${url}/api/v1/${path}`, init);
    };
    const json = async (path: string, body: object) =>
      (await (await post(path, body)).json()) as Record<string, string>;
    const { session_id } = await json("create_session", {});
    const { sampling_session_id } = await json("create_sampling_session", {
      ...{ session_id, sampling_session_seq_id: 0, base_model: "tiny" },
    });
    const sample = async (seq_id: number, change: object) => {
      const sampling_params = { max_tokens: 16, stop: [], seed: 1 };
      const body = {
        sampling_session_id,
        seq_id,
        prompt: { chunks: [{ tokens: [3, 4] }] },
        sampling_params,
        ...change,
      };
      const { request_id } = await json("asample", body);
      const answer = await post("retrieve_future", { request_id });
      return answer.headers.get("content-type") === "application/json" ? ((await answer.json()) as object) : "sampled";
    };
    const [large, small, scored] = await Promise.all([
      sample(0, { num_samples: 4, topk_sample_logprobs: 5 }),
      sample(1, { num_samples: 4 }),
      sample(2, { topk_prompt_logprobs: 100 }),
    ]);
    expect(large).toMatchObject({ category: "user", error: expect.stringMatching(/1000 bytes, at 48 for each token/) });
    expect(small).toBe("sampled");
    expect(scored).toMatchObject({ error: expect.stringMatching(/more than 1000 bytes/) });
    const call = { iteration: 0, prompt_id: 0, call: { id: "c", index: 0, size: 1 } };
    expect(await sample(4, { num_samples: 16, aha: call })).toMatchObject({
      ...{ category: "user", error: expect.stringMatching(/results of this call have more than 1000 bytes/) },
    });
    expect(await sample(5, { num_samples: 4, aha: call })).toBe("sampled");
    expect(await sample(3, { num_samples: 1, topk_sample_logprobs: 5 })).toBe("sampled");
    expect(defects).toEqual([]);
  });
});

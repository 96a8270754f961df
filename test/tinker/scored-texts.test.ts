/** Many texts that are scored by sampling: in calls that a server has places for, one after another. */

import { expect, it } from "vitest";
import { profileNamed } from "../../src/engine/tinker/profile.ts";
import { RemoteSampler } from "../../src/engine/tinker/remote-sampler.ts";
import type { Submitted, TinkerClient } from "../../src/engine/tinker/tinker-client.ts";
import { bytesOf } from "../../src/tinker/messages.ts";

interface Asked {
  readonly prompt: { readonly chunks: readonly [{ readonly tokens: readonly number[] }] };
  readonly aha: { readonly call: { readonly id: string; readonly index: number; readonly size: number } };
}

it("texts beyond those of a call are scored in further ones, in order, and never more at once", async () => {
  const asked: Asked[] = [];
  let pending = 0;
  let mostPending = 0;
  const client = {
    usage: { promptTokens: 0, sampledTokens: 0 },
    submit: async (_: string, kind: string, body: string): Promise<Submitted> => {
      mostPending = Math.max(mostPending, ++pending);
      return { id: `${asked.push(JSON.parse(body) as Asked) - 1}`, kind };
    },
    sampleResponse: async ({ id }: Submitted) => {
      await new Promise((resolve) => setImmediate(resolve));
      pending--;
      const { tokens } = asked[Number(id)]!.prompt.chunks[0];
      return { sequences: [], promptLogprobs: bytesOf(Float32Array.from(tokens, (token) => -token)) };
    },
  } as unknown as TinkerClient;
  const data = Array.from({ length: 8 }, (_, i) => ({
    promptTokens: Int32Array.of(1),
    completionTokens: Int32Array.of(10 + i, 20 + i),
  }));
  const scored = await new RemoteSampler(client, "sampling").score(data, profileNamed("aha"), 1, 3);
  expect(scored.map((row) => [...row])).toEqual(data.map((_, i) => [-10 - i, -20 - i]));
  expect(mostPending).toBe(3);
  const calls = asked.map(({ aha: { call } }) => call);
  expect(calls.map(({ index, size }) => [index, size])).toEqual([
    ...[0, 1, 2].map((index) => [index, 3]),
    ...[0, 1, 2].map((index) => [index, 3]),
    ...[0, 1].map((index) => [index, 2]),
  ]);
  expect(new Set(calls.map(({ id }) => id)).size).toBe(3);
});

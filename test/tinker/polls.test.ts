/** Results that take longer than a request is tried: a server that computes is not one that is lost. */

import { describe, expect, it } from "vitest";
import { ServerLost, Transport, type Wire, type WireResponse } from "../../src/engine/tinker/transport.ts";
import { quickClock } from "./random-training.ts";

const answer = (status: number): WireResponse => ({ status, header: () => null, body: new TextEncoder().encode("{}") });
const POLL = { method: "POST", path: "/api/v1/retrieve_future", body: "{}" } as const;
const PATIENCE_MS = 60_000;

/** A wire on which every exchange takes a while of the test's own time. */
function transportOver(exchange: (path: string) => Promise<WireResponse>, takesMs: number) {
  const clock = quickClock();
  const wire: Wire = async ({ path }) => {
    if (path === POLL.path) await clock.sleep(takesMs);
    return exchange(path);
  };
  const options = { url: "http://tinker.test", apiKey: undefined, patienceMs: PATIENCE_MS };
  return { clock, transport: new Transport({ wire, clock, ...options }) };
}

const timedOut = () => Promise.reject(new DOMException("The operation was aborted due to timeout", "TimeoutError"));

describe("a poll", () => {
  it.each([
    ["that the server ends with 408", () => Promise.resolve(answer(408)), 300_000],
    ["that the client gives up before the server does", timedOut, 120_000],
  ])("%s is sent again for as long as the server is there", async (_, nothingYet, takesMs) => {
    let polls = 0;
    const { clock, transport } = transportOver(
      async (path) => (path === POLL.path && ++polls < 20 ? nothingYet() : answer(200)),
      takesMs,
    );
    expect((await transport.send(POLL, { polls: true })).status).toBe(200);
    expect(polls).toBe(20);
    expect(clock.now()).toBeGreaterThan(20 * takesMs);
    // What is there is not waited for longer the more often it was not.
    expect(clock.now()).toBeLessThanOrEqual(20 * (takesMs + 250));
  });

  it("of a server that answers nothing else either is given up", async () => {
    const { clock, transport } = transportOver(timedOut, 120_000);
    await expect(transport.send(POLL, { polls: true })).rejects.toThrow(ServerLost);
    expect(clock.now()).toBeLessThanOrEqual(240_000);
  });

  it("differs in this from other requests", async () => {
    const { transport } = transportOver(async () => answer(408), 1000);
    await expect(transport.send(POLL)).rejects.toThrow(/408/);
  });
});

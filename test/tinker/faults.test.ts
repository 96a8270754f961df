/**
 * Aha's client and server with everything between them that can go wrong: requests and answers that are lost, come late or
 * twice, servers that are busy or broken for a moment, passes that fail. Whatever the schedule, each step that the client was
 * told of was taken once, in order, and none besides.
 */

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { tinkerRoutes } from "../../src/cli/serve-tinker.ts";
import { ServerLost, type Wire } from "../../src/engine/tinker/transport.ts";
import { Random } from "../../src/random.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { faultyWire } from "./faulty-wire.ts";
import { inProcessWire } from "./in-process-wire.ts";
import { adam, datum, openOver, train } from "./random-training.ts";
import { recordingBase } from "./recording-policy.ts";

const root = mkdtempSync(join(tmpdir(), "aha-tinker-faults-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let places = 0;

async function started() {
  const { base, policies } = recordingBase();
  const engine = await base.open({});
  const defects: unknown[] = [];
  const { routes } = await tinkerRoutes({
    ...{ name: "tiny", base, engine, apiKey: undefined },
    tokenizer: { eosTokenId: 1 } as unknown as Tokenizer,
    tokenizerDirectory: root,
    modelPath: root,
    directory: join(root, `${places++}`),
    // Nothing is polled for longer than it takes to be carried out.
    limits: { pollMs: 5 },
    onDefect: (error) => defects.push(error),
  });
  return { routes, policies, defects };
}

const SCHEDULES = 1000;

describe("no step is lost, and none is taken twice", () => {
  it(`under ${SCHEDULES} schedules of faults`, async () => {
    const seen = new Map<string, number>();
    for (let seed = 0; seed < SCHEDULES; seed++) {
      const random = new Random(seed, "tinker faults");
      const { routes, policies, defects } = await started();
      const { wire, counts } = faultyWire(inProcessWire(routes), random, 0.05 + 0.4 * random.uniform());
      const policy = await openOver(wire, root);
      const log: string[] = [];
      await train(policy, random, 6, log);
      expect(policies[0]!.log, `schedule ${seed}`).toEqual(log);
      expect(policies, `schedule ${seed}`).toHaveLength(1);
      expect(defects).toEqual([]);
      await policy.dispose();
      await routes.close();
      for (const [name, count] of counts) seen.set(name, (seen.get(name) ?? 0) + count);
    }
    // Everything that can go wrong did.
    expect(Math.min(...seen.values())).toBeGreaterThan(100);
    expect(seen.size).toBe(10);
  });

  it("where the server is lost the model is given up, and a checkpoint goes on from what it holds", async () => {
    for (let seed = 0; seed < 50; seed++) {
      const random = new Random(seed, "lost servers");
      const { routes, policies } = await started();
      const own = inProcessWire(routes);
      let left = 8 + random.integer(40);
      // From some request on nothing is heard, though it may have arrived.
      const wire: Wire = async (request) => {
        if (--left > 0) return own(request);
        if (left === 0 && random.uniform() < 0.5) await own(request);
        throw new TypeError("fetch failed");
      };
      const log: string[] = [];
      const policy = await openOver(wire, root, 5).catch((error: unknown) => error as Error);
      if (policy instanceof Error) {
        expect(policy).toBeInstanceOf(ServerLost);
        continue;
      }
      await expect(train(policy, random, 40, log)).rejects.toThrow(ServerLost);
      const done = policies[0]!.log;
      // At most one unit more than the client was told of: a pass and its step.
      expect(done.slice(0, log.length), `seed ${seed}`).toEqual(log);
      expect(done.length - log.length).toBeLessThanOrEqual(2);
      await expect(policy.step([datum(1)], { name: "cross_entropy" }, adam(1))).rejects.toThrow(ServerLost);
      expect(policies[0]!.log).toEqual(done);
      await policy.dispose();
      await routes.close();
    }
  });
});

/** A judge behind an endpoint among the filters of a data step: down, talking nonsense, at its limit, too slow. */

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Compute } from "../../src/compute/compute.ts";
import { rejectionSampling, rejectionSamplingSchema } from "../../src/data-steps/rejection-sampling.ts";
import { RunInterrupted } from "../../src/errors.ts";
import { ingredientsOf } from "../../src/pipeline/plan.ts";
import { readAllJsonl } from "../data/read-all-jsonl.ts";
import { type Asked, chatReply, type FakeEndpoint, fakeEndpoint, type Reply } from "../endpoint/server.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-judged-steps-"));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});
const servers: FakeEndpoint[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

const GOOD = "Fine.\nSCORE: 8";
const DOWN: Reply = { status: 503, body: "overloaded" };

let count = 0;
/** A step whose completions `judge` judges, by how often it was asked before; `judged` counts that, `written` completions. */
async function judgedStep(judge: (index: number) => Reply, more: object = {}) {
  let behaviour = judge;
  const counts = { judged: 0, written: 0 };
  const server = await fakeEndpoint(({ body }: Asked) => {
    if (body.model === "judge") return behaviour(counts.judged++);
    return chatReply(`<think>1 + 2</think>\n<answer>${counts.written++}</answer>`);
  });
  servers.push(server);
  const directory = join(root, `step-${count++}`);
  mkdirSync(directory);
  const endpoint = { baseUrl: server.baseUrl, cacheDirectory: `${directory}-answers`, attempts: 2, concurrency: 1 };
  const configWith = (options: object) =>
    rejectionSamplingSchema().parse({
      model: { endpoint: { ...endpoint, model: "teacher" } },
      task: { name: "countdown", prompt: "compact", counts: [3], max: 10 },
      ...{ prompts: 4, samples: 1, promptsPerPart: 2, dedupe: false },
      keep: [{ reward: "judge", options: { ...endpoint, model: "judge", ...more, ...options }, min: 0.5 }],
    });
  return {
    counts,
    configWith,
    directory,
    behave: (next: typeof judge) => {
      behaviour = next;
    },
    run: (options: object = {}, signal = new AbortController().signal) =>
      rejectionSampling.run(configWith(options), {
        directory,
        compute: Compute.open({ threads: 2 }),
        signal,
      }),
  };
}

describe("a judge of a data step", () => {
  it("that is busy once is asked again", async () => {
    const { counts, run } = await judgedStep((index) =>
      index === 0 ? { status: 429, body: "slow" } : chatReply(GOOD),
    );
    expect(await run()).toMatchObject({ train: 4, lineage: { abstained: {} } });
    expect(counts).toEqual({ judged: 5, written: 4 });
  });

  it("that goes down ends the step; the same command goes on, samples nothing and pays for no verdict again", async () => {
    const { counts, run, behave, directory } = await judgedStep((index) => (index < 3 ? chatReply(GOOD) : DOWN));
    await expect(run()).rejects.toThrow(
      /reward judge ≥ 0\.5: the judge cannot be asked: .*503: "overloaded".*run the same command to go on/,
    );
    expect(counts).toEqual({ judged: 5, written: 4 });
    behave(() => chatReply(GOOD));
    expect(await run()).toMatchObject({ train: 4, lineage: { kept: 4, dropped: {}, abstained: {} } });
    expect(counts).toEqual({ judged: 6, written: 4 });
    const spent = JSON.parse(readFileSync(join(directory, "parts", "rewards.json"), "utf8")) as Record<string, string>;
    expect(JSON.parse(spent["reward judge ≥ 0.5"]!)).toMatchObject({ requests: 4 });
  });

  it("that gives no verdict on one abstains from it, counted; on all is an error, and none of it is kept", async () => {
    const once = await judgedStep((index) => chatReply(index === 1 ? "I like it." : GOOD));
    const { train, lineage } = await once.run();
    expect(train).toBe(3);
    expect(lineage).toMatchObject({
      dropped: { "reward judge ≥ 0.5 abstained": 1 },
      abstained: { "reward judge ≥ 0.5": 1 },
    });
    const [rejected] = await readAllJsonl(join(once.directory, "rejected.jsonl"));
    expect(rejected!.fields.reason).toMatch(/gave no verdict: its last line is not SCORE/);
    const always = await judgedStep(() => chatReply("I like it."));
    await expect(always.run()).rejects.toThrow(/none of the 4 completions is left[\s\S]*abstained: 4/);
    always.behave(() => chatReply(GOOD));
    expect(await always.run()).toMatchObject({ train: 4 });
    expect(always.counts).toEqual({ judged: 8, written: 4 });
  });

  it("whose limit is used up ends the step, also when it is gone on with; a higher limit goes on with the same stage", async () => {
    const { counts, configWith, run } = await judgedStep(() => chatReply(GOOD), { maxTokens: 40 });
    for (let session = 0; session < 2; session++) {
      await expect(run()).rejects.toThrow(/the limit of 40 tokens is used up \(45\); raise maxTokens/);
    }
    expect(counts).toEqual({ judged: 3, written: 4 });
    expect(await run({ maxTokens: 1000 })).toMatchObject({ train: 4 });
    expect(counts).toEqual({ judged: 4, written: 4 });
    const config = async (options: object) => {
      const work = { kind: "data", step: rejectionSampling, config: configWith(options) } as const;
      const stage = { name: "s", kind: work.kind, work, references: [] } as unknown as Parameters<
        typeof ingredientsOf
      >[1];
      const lineage = { stages: {}, superseded: {}, threads: 1 };
      return ingredientsOf({ stages: [], directory: root, source: root, lineage, hashes: new Map() }, stage);
    };
    expect(await config({ maxTokens: 1000, timeoutMs: 5, attempts: 9 })).toEqual(await config({}));
    expect(await config({ model: "other" })).not.toEqual(await config({}));
    expect(await config({ rubric: "Be strict." })).not.toEqual(await config({}));
  });

  it("that hangs does not hold up Ctrl-C", async () => {
    const controller = new AbortController();
    const { run, behave } = await judgedStep(() => {
      setTimeout(() => controller.abort(), 20);
      return "hang";
    });
    await expect(run({}, controller.signal)).rejects.toThrow(RunInterrupted);
    behave(() => chatReply(GOOD));
    expect(await run()).toMatchObject({ train: 4 });
  });
});

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Compute } from "../../src/compute/compute.ts";
import { writeJsonl } from "../../src/data/jsonl.ts";
import type { Candidate } from "../../src/data-steps/candidate.ts";
import { collectCandidates, readCandidates } from "../../src/data-steps/candidates.ts";
import { combine, combineSchema } from "../../src/data-steps/combine.ts";
import { rejectionSamplingSchema } from "../../src/data-steps/rejection-sampling.ts";
import { writeSampledDataset } from "../../src/data-steps/sampled-dataset.ts";
import { selectCandidates } from "../../src/data-steps/selection.ts";
import { engineSource } from "../../src/data-steps/sources.ts";
import type { Policy } from "../../src/engine/contract/policy.ts";
import type { Task } from "../../src/tasks/task.ts";
import { buildTokenizer } from "../../src/tokenizer/build.ts";
import { readAllJsonl } from "../data/read-all-jsonl.ts";

const COMPUTE = Compute.open({ threads: 2 });

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-data-steps-"));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

const candidate = (prompt: string, completion: string, more: Partial<Candidate> = {}): Candidate => ({
  promptId: 0,
  sample: 0,
  problemId: 0,
  prompt,
  columns: {},
  completion,
  finished: true,
  lengthTokens: completion.length,
  solved: true,
  scores: {},
  dropped: null,
  ...more,
});

const CHOICE = { dedupe: true, keepPerPrompt: undefined, choose: "random", seed: 1 } as const;

describe("selection", () => {
  it("drops what a prompt has already, white space and letter case aside, and keeps so many of a prompt", () => {
    const kept = [
      candidate("a", "long one"),
      candidate("a", "Long  ONE\n"),
      candidate("b", "Long one"),
      candidate("a", "short"),
    ];
    const rates = new Map([
      ["a", 0.5],
      ["b", 1],
    ]);
    const { chosen } = selectCandidates(kept, rates, { ...CHOICE, keepPerPrompt: 1, choose: "shortest" });
    expect(chosen.map((one) => [one.candidate.completion, one.passRate])).toEqual([
      ["short", 0.5],
      ["Long one", 1],
    ]);
    expect(kept.map(({ dropped }) => dropped?.by)).toEqual(["keepPerPrompt", "duplicate", undefined, undefined]);
  });

  it("balances by pass rate: the largest set with the shares, those of empty buckets spread over the others", () => {
    const kept = [
      ...Array.from({ length: 10 }, (_, i) => candidate("easy", `e${i}`)),
      ...Array.from({ length: 3 }, (_, i) => candidate("hard", `h${i}`)),
      candidate("never", "n"),
    ];
    const rates = new Map([
      ["easy", 0.9],
      ["hard", 0.2],
      ["never", 0],
    ]);
    const difficulty = [
      { passRate: [0.1, 0.4] as [number, number], share: 0.5 },
      { passRate: [0.41, 0.6] as [number, number], share: 0.25 },
      { passRate: [0.61, 1] as [number, number], share: 0.25 },
    ];
    const { buckets } = selectCandidates(kept, rates, { ...CHOICE, difficulty });
    expect(buckets!.map(({ found, taken }) => [found, taken])).toEqual([
      [3, 3],
      [0, 0],
      [10, 1],
    ]);
    const reasons = kept.flatMap(({ dropped }) => (dropped ? [dropped.reason] : []));
    expect(reasons).toHaveLength(10);
    expect(reasons).toContain("no bucket takes a pass rate of 0");
  });
});

describe("candidates", () => {
  const tokenizer = buildTokenizer("countdown-compact");
  const task: Task = {
    name: "numbers",
    trainCount: Number.POSITIVE_INFINITY,
    trainProblem: (id) => ({ id, prompt: `${id}<think>`, columns: { gold: id } }),
    heldOut: () => [],
    judge: ({ columns }, completion) => ({
      solved: completion.startsWith(String(columns.gold)),
      wellFormed: true,
      tries: 0,
      statistics: {},
    }),
  };
  /** Writes the prompt's number, then the sample's; counts what it was asked. */
  function countingEngine() {
    const asked: number[] = [];
    const engine = {
      info: {
        name: "counting",
        vocabSize: tokenizer.vocabSize,
        maxContextTokens: 64,
        eosTokenIds: [],
        parameterCount: 0,
        losses: [],
      },
      sample: async (prompts: Parameters<Policy["sample"]>[0]) => {
        asked.push(...prompts.map(({ promptId }) => promptId));
        return prompts.flatMap(({ promptId, numSamples }, promptIndex) =>
          Array.from({ length: numSamples }, (_, sampleIndex) => {
            const tokens = tokenizer.encode(`${sampleIndex === 1 ? 99 : promptId}=${sampleIndex}</think>\n0`);
            return {
              promptIndex,
              sampleIndex,
              tokens,
              logprobs: new Float32Array(tokens.length),
              finishReason: "length" as const,
            };
          }),
        );
      },
    };
    return { engine: engine as unknown as Policy, asked };
  }
  const config = (more: object = {}) =>
    rejectionSamplingSchema().parse({
      model: { path: "none" },
      task: { name: "countdown", prompt: "compact" },
      prompts: 5,
      samples: 3,
      promptsPerPart: 2,
      maxCompletionTokens: 16,
      ...more,
    });
  const collect = (directory: string, engine: Policy, of = config(), signal = new AbortController().signal) =>
    collectCandidates(of, {
      source: engineSource(engine, tokenizer),
      task,
      askFor: ({ prompt }) => prompt,
      directory,
      compute: COMPUTE,
      signal,
    });

  it("are made part by part, and those that are there are not made again", async () => {
    const directory = join(root, "parts");
    const controller = new AbortController();
    const first = countingEngine();
    const { sample } = first.engine;
    first.engine.sample = (...args) => {
      if (first.asked.length > 0) controller.abort();
      return sample(...args);
    };
    await expect(collect(directory, first.engine, config(), controller.signal)).rejects.toThrow(
      /what is finished is saved/,
    );
    expect(readdirSync(directory)).toEqual(["part-000000.jsonl", "part-000001.jsonl"]);
    const second = countingEngine();
    await collect(directory, second.engine);
    expect([first.asked, second.asked]).toEqual([[0, 1, 2, 3], [4]]);
    const all: Candidate[] = [];
    for await (const one of readCandidates(config(), directory)) all.push(one);
    expect(all.map(({ promptId, sample: s, dropped }) => [promptId, s, dropped?.by])).toEqual(
      [0, 1, 2, 3, 4].flatMap((id) => [
        [id, 0, undefined],
        [id, 1, "verdict solved"],
        [id, 2, undefined],
      ]),
    );
  });

  it("are cut at stopAt, which ends them, and become rows with pass rates", async () => {
    const directory = join(root, "cut");
    const of = config({ stopAt: "</think>", keep: [{ finished: true }, { verdict: "solved" }], testShare: 0.2 });
    await collect(join(directory, "parts"), countingEngine().engine, of);
    const about = { step: "rejectionSampling", parts: join(directory, "parts"), directory, about: {} };
    const { lineage } = await writeSampledDataset(of, about);
    expect(lineage).toMatchObject({
      candidates: 15,
      solved: 10,
      kept: 10,
      dropped: { "verdict solved": 5 },
      rows: { train: 8, test: 2 },
    });
    const rows = await readAllJsonl(join(directory, "data", "test.jsonl"));
    expect(new Set(rows.map(({ fields }) => fields.prompt)).size).toBe(1);
    expect(rows[0]!.fields).toMatchObject({
      passRate: 2 / 3,
      kind: "reasoning",
      completion: expect.stringMatching(/<\/think>$/),
    });
  });

  it("that a reward could not judge are counted, and asked about again without being sampled again", async () => {
    const directory = join(root, "abstained");
    // equation abstains where the columns are no Countdown problem.
    const of = config({ keep: [{ reward: "equation", min: 1 }] });
    const withColumns = {
      ...task,
      trainProblem: (id: number) => ({ id, prompt: `${id}<think>`, columns: { gold: id, nums: "none", target: 0 } }),
    };
    const { engine, asked } = countingEngine();
    const parts = {
      source: engineSource(engine, tokenizer),
      task: withColumns,
      askFor: ({ prompt }: { prompt: string }) => prompt,
    };
    const run = () =>
      collectCandidates(of, {
        ...parts,
        directory: join(directory, "parts"),
        compute: COMPUTE,
        signal: new AbortController().signal,
      });
    await run();
    const about = { step: "rejectionSampling", parts: join(directory, "parts"), directory, about: {} };
    await expect(writeSampledDataset(of, about)).rejects.toThrow(
      /none of the 15 completions is left[\s\S]*reward equation ≥ 1 abstained: 15 \(e\.g\. cannot judge/,
    );
    await run();
    expect(asked).toHaveLength(5);
  });
});

describe("combine", () => {
  it("takes rows by weight without replacement, drops duplicates, and names what is missing", async () => {
    const rows = (name: string, count: number) =>
      Array.from({ length: count }, (_, i) => ({ prompt: `${name}${i}`, completion: "x" }));
    const [a, b] = [join(root, "a.jsonl"), join(root, "b.jsonl")];
    await writeJsonl(a, [...rows("a", 8), ...rows("a", 2)]);
    await writeJsonl(b, [...rows("b", 4), ...rows("a", 4)]);
    const context = { directory: root, compute: COMPUTE, signal: new AbortController().signal };
    const mix = (data: object) => combine.run(combineSchema.parse(data), context);
    const { lineage } = await mix({
      data: [
        { path: a, weight: 3 },
        { path: b, weight: 1, kind: "general" },
      ],
      rows: 8,
    });
    expect(lineage.sources).toEqual([
      { data: a, found: 10, duplicates: 2, taken: 6 },
      { data: b, found: 8, duplicates: 4, taken: 2 },
    ]);
    const written = await readAllJsonl(join(root, "data", "train.jsonl"));
    expect(written.filter(({ fields }) => fields.kind === "general")).toHaveLength(2);
    expect(new Set(written.map(({ fields }) => fields.prompt)).size).toBe(8);
    await expect(mix({ data: [{ path: b, rows: 9 }] })).rejects.toThrow(
      /has 8 rows that are not there already, fewer than the 9/,
    );
    expect(combineSchema.safeParse({ data: [{ path: a, weight: 1 }, { path: b }] }).success).toBe(false);
  });
});

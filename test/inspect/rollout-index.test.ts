import { appendFileSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { Rollouts } from "../../src/inspect/rollout-answers.ts";
import { RolloutDesk } from "../../src/inspect/rollout-desk.ts";
import type { RolloutFilter, RolloutOrder } from "../../src/inspect/rollout-query.ts";
import { RunTokenizers } from "../../src/inspect/token-view.ts";
import { Random } from "../../src/random.ts";
import type { RolloutRecord } from "../../src/run/records.ts";
import { RolloutLog } from "../../src/run/rollout-log.ts";
import { rolloutRow } from "../dashboard/written-run.ts";

const FIRST: RolloutOrder = { by: "row", descending: false };

let directory: string;
let rows: RolloutRecord[];
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "aha-rollouts-"));
  const random = new Random(3, "rows");
  rows = Array.from({ length: 300 }, (_, i) => rolloutRow(i, random, {}));
});

const lines = (some: readonly RolloutRecord[]) => some.map((row) => `${JSON.stringify(row)}\n`).join("");
const file = () => join(directory, "rollouts.jsonl");
const rolloutsOf = () => new Rollouts(directory, new RunTokenizers());

async function page(rollouts: Rollouts, filter: RolloutFilter = {}, order = FIRST, limit = 500) {
  const answer = await rollouts.answer({ kind: "page", filter, order, offset: 0, limit });
  return answer as Extract<typeof answer, { matched: number }>;
}

async function open(rollouts: Rollouts, row: number) {
  const answer = await rollouts.answer({ kind: "open", row, recipe: {} });
  return answer as Extract<typeof answer, { record: unknown }> | undefined;
}

const found = async (filter: RolloutFilter, order = FIRST) =>
  (await page(rolloutsOf(), filter, order)).items.map(({ row }) => row);
const expected = (keep: (row: RolloutRecord) => boolean) => rows.flatMap((row, i) => (keep(row) ? [i] : []));

describe("rollouts are found", () => {
  beforeEach(() => writeFileSync(file(), lines(rows)));

  const cases: readonly [string, RolloutFilter, (row: RolloutRecord) => boolean][] = [
    ["by iteration", { iteration: { min: 2, max: 3 } }, ({ iteration }) => iteration === 2 || iteration === 3],
    ["by verdict", { solved: true }, ({ solved }) => solved === true],
    ["by how they ended", { finishReason: "length" }, ({ finishReason }) => finishReason === "length"],
    ["by advantage", { advantage: { min: 0.5 } }, ({ advantage }) => (advantage ?? 0) >= 0.5],
    ["by length", { length: { max: 40 } }, ({ lengthTokens }) => lengthTokens <= 40],
    ["by a reward's score", { part: { name: "equation", min: 1 } }, ({ rewards }) => rewards.equation!.score === 1],
    ["by stage", { stage: "another" }, () => false],
    [
      "by text of the completion",
      { text: "TOO HIGH".toLowerCase() },
      ({ completion }) => completion.includes("too high"),
    ],
    ["by text of the prompt", { text: "using the numbers [5," }, ({ prompt }) => prompt.includes("[5,")],
    ["by text with signs of a pattern in it", { text: "(5+" }, ({ completion }) => completion.includes("(5+")],
    [
      "by a regular expression",
      { text: "<answer>\\(\\d+\\+3\\)", isPattern: true },
      ({ completion }) => /<answer>\(\d+\+3\)/.test(completion),
    ],
    [
      "by several at once",
      { solved: false, length: { min: 100 } },
      (row) => row.solved === false && row.lengthTokens >= 100,
    ],
  ];
  it.each(cases)("%s", async (_, filter, keep) => {
    expect(await found(filter)).toEqual(expected(keep));
  });

  it.each(["advantage", "length", "reward", "score:equation", "iteration"])("sorted by %s", async (by) => {
    const of = (row: RolloutRecord) =>
      by === "length"
        ? row.lengthTokens
        : by.startsWith("score:")
          ? row.rewards.equation!.score!
          : (row[by as "advantage"] ?? 0);
    const order = rows.map((_, i) => i).sort((a, b) => of(rows[a]!) - of(rows[b]!) || a - b);
    expect(await found({}, { by, descending: false })).toEqual(order);
    const falling = await found({}, { by, descending: true });
    expect(falling.map((row) => of(rows[row]!))).toEqual([...order].reverse().map((row) => of(rows[row]!)));
  });

  it("with rows without a value last, either way", async () => {
    rows[7] = { ...rows[7]!, reward: null };
    writeFileSync(file(), lines(rows));
    expect((await found({}, { by: "reward", descending: false })).at(-1)).toBe(7);
    expect((await found({}, { by: "reward", descending: true })).at(-1)).toBe(7);
  });

  it("and what they come to is counted", async () => {
    const { total, matched, solved, judged, meanReward } = await page(rolloutsOf(), { solved: true });
    const count = rows.filter((row) => row.solved).length;
    expect({ total, matched, solved, judged, meanReward }).toEqual({
      total: 300,
      matched: count,
      solved: count,
      judged: count,
      meanReward: 2,
    });
  });

  it("but not by an expression that is none, or a column that is not there: the error says what is", async () => {
    await expect(found({ text: "(", isPattern: true })).rejects.toThrow(/is not a regular expression of JavaScript/);
    await expect(found({}, { by: "nonsense", descending: false })).rejects.toThrow(/score:equation/);
  });
});

describe("one rollout", () => {
  it("is opened with its group, and the same problem over time", async () => {
    rows[200] = { ...rows[200]!, prompt: rows[8]!.prompt };
    writeFileSync(file(), lines(rows));
    const opened = await open(rolloutsOf(), 9);
    expect(opened?.record).toEqual(rows[9]);
    expect(opened?.group.map(({ row }) => row)).toEqual([8, 9, 10, 11, 12, 13, 14, 15]);
    expect(opened?.sameProblem.map(({ row }) => row)).toEqual([8, 9, 10, 11, 12, 13, 14, 15, 200]);
    expect(opened?.tokenTexts).toBeUndefined();
  });

  it("is undefined where there is none of that number", async () => {
    writeFileSync(file(), lines(rows));
    expect(await open(rolloutsOf(), 300)).toBeUndefined();
  });

  it("is cut where it is of megabytes, and says so", async () => {
    writeFileSync(file(), lines([{ ...rows[0]!, completion: "x".repeat(5_000_000) }]));
    const opened = await open(rolloutsOf(), 0);
    expect(opened?.record.completion.length).toBe(200_000);
    expect(opened?.hiddenCharacters).toBe(4_800_000);
  });
});

describe("files that change", () => {
  it("are followed as they grow; a half-written row waits", async () => {
    const rollouts = rolloutsOf();
    writeFileSync(file(), lines(rows.slice(0, 10)));
    expect((await page(rollouts)).total).toBe(10);
    const half = lines(rows.slice(10, 11));
    appendFileSync(file(), half.slice(0, 50));
    expect((await page(rollouts)).total).toBe(10);
    appendFileSync(file(), half.slice(50) + lines(rows.slice(11, 20)));
    expect((await page(rollouts)).total).toBe(20);
    expect((await open(rollouts, 10))?.record).toEqual(rows[10]);
  });

  it("lose damaged lines, which are counted", async () => {
    writeFileSync(file(), `${lines(rows.slice(0, 2))}nonsense\n{"stage":"r1-zero"}\n${lines(rows.slice(2, 4))}`);
    const { total, damaged } = await page(rolloutsOf());
    expect({ total, damaged }).toEqual({ total: 5, damaged: 2 });
  });

  it("are followed when a resume cuts them back", async () => {
    const rollouts = rolloutsOf();
    writeFileSync(file(), lines(rows.slice(0, 20)));
    await page(rollouts);
    truncateSync(file(), Buffer.byteLength(lines(rows.slice(0, 12))));
    expect((await page(rollouts)).total).toBe(12);
    appendFileSync(file(), lines(rows.slice(30, 40)));
    expect((await page(rollouts)).total).toBe(22);
    expect((await open(rollouts, 12))?.record).toEqual(rows[30]);
  });

  it.each(["jsonl", "parquet"] as const)("are followed when a full one is kept as %s", async (format) => {
    const rollouts = rolloutsOf();
    const log = new RolloutLog(directory);
    log.keepAs({ format, maxFileBytes: 20_000 });
    for (let i = 0; i < 300; i += 25) {
      log.append(rows.slice(i, i + 25));
      // Sometimes nobody looks between two files.
      if (i % 50 === 0) expect((await page(rollouts)).total).toBe(i + 25);
    }
    log.finish();
    log.close();
    expect((await page(rollouts)).total).toBe(300);
    expect((await page(rolloutsOf())).total).toBe(300);
    for (const row of [0, 100, 299]) expect((await open(rollouts, row))?.record).toEqual(rows[row]);
    expect(await found({ solved: true })).toEqual(expected(({ solved }) => solved === true));
  });

  it("are nothing where the directory is gone", async () => {
    const rollouts = rolloutsOf();
    writeFileSync(file(), lines(rows));
    await page(rollouts);
    rmSync(directory, { recursive: true });
    expect((await page(rollouts)).total).toBe(0);
    renameSync(mkdtempSync(join(tmpdir(), "aha-rollouts-")), directory);
  });
});

describe("the desk", () => {
  it("answers on a thread, and gives up a search that takes too long without losing the next", async () => {
    writeFileSync(file(), lines([...rows, { ...rows[0]!, completion: `${"a".repeat(60)}!` }]));
    const desk = new RolloutDesk(1500);
    const ask = (filter: RolloutFilter) =>
      desk.ask(directory, { kind: "page", filter, order: FIRST, offset: 0, limit: 1 });
    expect((await ask({})).total).toBe(301);
    await expect(ask({ text: "(a+)+$", isPattern: true })).rejects.toThrow(/not searched within 1.5 s/);
    expect((await ask({ solved: true })).matched).toBeGreaterThan(0);
    await expect(ask({ text: "[", isPattern: true })).rejects.toThrow(/regular expression/);
    await desk.close();
  });
});

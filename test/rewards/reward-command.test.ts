import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import type { CommandContext } from "../../src/cli/command.ts";
import { rewardCommand } from "../../src/cli/reward.ts";
import { ConfigError, DataError } from "../../src/errors.ts";
import { rewards } from "../../src/rewards/registry.ts";

const directory = mkdtempSync(join(tmpdir(), "aha-reward-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

let files = 0;

function fileWith(...rows: readonly unknown[]): string {
  const file = join(directory, `${files++}.jsonl`);
  writeFileSync(file, rows.map((row) => (typeof row === "string" ? row : JSON.stringify(row))).join("\n"));
  return file;
}

async function run(args: readonly string[], exitCode = 0): Promise<{ out: string; note: string }> {
  let out = "";
  let note = "";
  const context: CommandContext = {
    out: (text) => {
      out += text;
    },
    note: (text) => {
      note += text;
    },
    signal: new AbortController().signal,
    interactive: false,
  };
  expect(await rewardCommand.run(args, context)).toBe(exitCode);
  return { out, note };
}

interface PrintedScore {
  readonly line: number;
  readonly score: number | null;
  readonly reason: string;
}

const jsonLines = (text: string) =>
  text
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as PrintedScore);

const prompt = "…<think>";
const right = { prompt, completion: "</think>\n<answer>6*9</answer>", nums: [6, 9], target: 54 };
const wrong = { ...right, completion: "</think>\n<answer>6+9</answer>" };
const without = { prompt, completion: "</think>\n<answer>6+9</answer>" };

describe("aha reward", () => {
  test("--json prints line, score and reason of every completion; the summary goes to standard error", async () => {
    const { out, note } = await run(["equation", "--in", fileWith(right, "", wrong, without), "--json"]);
    expect(jsonLines(out)).toEqual([
      { line: 1, score: 1, reason: "the answer is 54, with every number used once" },
      { line: 3, score: 0, reason: "the answer is 15, not 54" },
      { line: 4, score: null, reason: "cannot judge: nums is not a list of whole numbers" },
    ]);
    expect(note).toBe("equation: mean 0.5000 over 2 completions; 1 could not be judged.\n");
  });

  test("without --json it prints a table", async () => {
    const { out, note } = await run(["format", "--in", fileWith(right)]);
    expect(out).toBe("      1       1  has the form <think>…</think>, <answer>…</answer>\n");
    expect(note).toBe("format: mean 1.0000 over 1 completion.\n");
  });

  test("--set gives the reward its options", async () => {
    const { out } = await run(["equation", "--in", fileWith(wrong), "--set", "wrongScore=0.1", "--json"]);
    expect(JSON.parse(out)).toMatchObject({ score: 0.1 });
  });

  test("compares the completions of a group, wherever they stand, and prints lines in their order", async () => {
    const line = (completionTokens: number, group: string) => ({ ...right, completionTokens, group });
    const file = fileWith(line(10, "a"), line(10, "b"), line(30, "a"), line(20, "b"), line(20, "a"));
    const { out } = await run(["length", "--in", file, "--json"]);
    const rows = out.trimEnd().split("\n");
    expect(rows.map((row) => [JSON.parse(row).line, JSON.parse(row).score])).toEqual([
      [1, 0.5],
      [2, 0.5],
      [3, -0.5],
      [4, -0.5],
      [5, 0],
    ]);
  });

  test("reads the rows of a run's rollouts: lengths in tokens, and groups by iteration and problem", async () => {
    const row = (iteration: number, lengthTokens: number) => ({ ...right, iteration, promptId: 1, lengthTokens });
    const file = fileWith(row(0, 90), row(0, 100), row(1, 7));
    const overlong = await run(["soft_overlong", "--in", file, "--json", "--set", "maxTokens=100"]);
    expect(overlong.out.match(/"score":[^,]+/g)).toEqual(['"score":-0.5', '"score":-1', '"score":0']);
    const length = await run(["length", "--in", file, "--json"]);
    expect(length.out.match(/"score":[^,]+/g)).toEqual(['"score":0.5', '"score":-0.5', '"score":0']);
  });

  test("--list describes every reward, --json for programs", async () => {
    const { out } = await run(["--list"]);
    for (const { name, citation } of rewards.all) {
      expect(out).toContain(`${name}  `);
      expect(out).toContain(citation);
    }
    const listed = JSON.parse((await run(["--list", "--json"])).out) as {
      name: string;
      options: { name: string; description: string }[];
    }[];
    expect(listed.map(({ name }) => name)).toEqual(rewards.names);
    for (const { options } of listed) for (const { description } of options) expect(description).not.toBe("");
    expect(listed.find(({ name }) => name === "repetition_penalty")?.options[0]).toEqual({
      name: "ngramSize",
      description: "units of an n-gram",
      type: "integer",
      required: false,
      default: 3,
    });
  });

  test("an empty file is nothing to score, and no success", async () => {
    const { out, note } = await run(["format", "--in", fileWith()], 1);
    expect([out, note]).toEqual(["", "format: nothing was scored: the file has no completions.\n"]);
  });

  test("no success where not one completion can be judged; with one that can it is", async () => {
    const { out, note } = await run(["equation", "--in", fileWith(without, without), "--json"], 1);
    expect(jsonLines(out).map(({ score }) => score)).toEqual([null, null]);
    expect(note).toBe("equation: nothing was scored; 2 could not be judged.\n");
    expect((await run(["equation", "--in", fileWith(without, right)])).note).toContain("1 could not be judged");
  });

  test("a bad line is named by file and line, and nothing is printed", async () => {
    const file = fileWith(right, { prompt, completions: "x" });
    let printed = "";
    const context: CommandContext = {
      out: (text) => {
        printed += text;
      },
      note: () => {},
      signal: new AbortController().signal,
      interactive: false,
    };
    const scoring = rewardCommand.run(["equation", "--in", file, "--json"], context);
    await expect(scoring).rejects.toThrow(DataError);
    await expect(scoring).rejects.toThrow(
      `${file}:2: expected a text in the column completion, which is not there; ` +
        "the columns of this row are: prompt, completions. Is completions meant?",
    );
    expect(printed).toBe("");
    await expect(run(["format", "--in", fileWith(right, "{")])).rejects.toThrow(/:2: expected one JSON object/);
  });

  test.each([
    [[], "NAME"],
    [["equatoin", "--in", "x"], "Did you mean equation?"],
    [["equation"], "--in FILE.jsonl is required"],
    [["equation", "--in", "x", "--jsn"], "Did you mean --json?"],
    [["equation", "--in", "x", "--set", "wrongScore"], 'expected option=value, got "wrongScore"'],
    [["equation", "--in", "x", "--set", "wrongscore=1"], 'did you mean "wrongScore"?'],
    [["equation", "--in", "x", "--set", "wrongScore=high"], 'wrongScore: expected a number, got the text "high"'],
  ])("%j is a ConfigError", async (args, message) => {
    await expect(run(args)).rejects.toThrow(ConfigError);
    await expect(run(args)).rejects.toThrow(message);
  });

  test("a file that does not exist is a DataError with its path", async () => {
    await expect(run(["format", "--in", join(directory, "absent")])).rejects.toThrow(/Cannot read .*absent/);
  });
});

describe("aha reward with a reward of the user's own", () => {
  const own = join(import.meta.dirname, "files", "broken.mjs#perCompletion");

  test("prints a score of null with the reason where it fails, and goes on", async () => {
    const completions = ["ab", "throw", "loop", "abcd"].map((completion) => ({ prompt, completion }));
    const { out, note } = await run([own, "--in", fileWith(...completions), "--json", "--timeout-ms", "300"]);
    expect(jsonLines(out)).toEqual([
      { line: 1, score: 2, reason: "counted" },
      { line: 2, score: null, reason: "threw: no such column" },
      { line: 3, score: null, reason: "took longer than 300 ms" },
      { line: 4, score: 4, reason: "counted" },
    ]);
    expect(note).toBe("perCompletion: mean 3.0000 over 2 completions; 2 could not be judged.\n");
  });

  test("refuses a file that is not there, and a time limit for a reward of Aha's", async () => {
    const file = fileWith(right);
    await expect(run(["./nowhere.ts#x", "--in", file])).rejects.toThrow(/nowhere\.ts#x does not exist/);
    await expect(run(["format", "--in", file, "--timeout-ms", "5"])).rejects.toThrow(/rewards of your own/);
  });
});

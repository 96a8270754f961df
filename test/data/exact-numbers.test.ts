/** A whole number that no double holds, from a file to a verdict, a reward and the next file. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parquetWriteBuffer } from "hyparquet-writer";
import { describe, expect, test } from "vitest";
import { main } from "../../src/cli/main.ts";
import { Compute } from "../../src/compute/compute.ts";
import { loadData } from "../../src/data/load.ts";
import { dataOptionsSchema } from "../../src/data/options.ts";
import { combine, combineSchema } from "../../src/data-steps/combine.ts";
import { judgeAll } from "../../src/rewards/judge.ts";
import { createReward } from "../../src/rewards/registry.ts";
import { parseRewardReference } from "../../src/rewards/user/reference.ts";
import { UserReward } from "../../src/rewards/user/thread.ts";
import type { TaskSpec } from "../../src/tasks/entry.ts";
import { createTask } from "../../src/tasks/on-disk.ts";

import { ChatTemplates } from "../../src/tokenizer/chat-template.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const makeFiles = temporaryFolder();
const GOLD = "9007199254740993";
/** What a double makes of it. */
const ROUNDED = "9007199254740992";

const decimals = parquetWriteBuffer({
  columnData: [
    { name: "problem", data: ["p0", "p1", "p2"] },
    { name: "answer", data: [BigInt(GOLD), BigInt(GOLD), BigInt(GOLD)] },
  ],
  schema: [
    { name: "schema", num_children: 2 },
    { name: "problem", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" },
    { name: "answer", type: "INT64", converted_type: "DECIMAL", precision: 18, scale: 0, repetition_type: "OPTIONAL" },
  ],
});

const lines = [0, 1, 2].map((i) => `{"problem":"p${i}","answer":${GOLD}}\n`).join("");
const folder = makeFiles({
  "rows.jsonl": lines,
  "rows.json": `[${lines.trim().replaceAll("\n", ",")}]`,
  "rows.csv": `problem,answer\np0,${GOLD}\np1,${GOLD}\np2,${GOLD}\n`,
  "rows.parquet": new Uint8Array(decimals),
});
const FILES = ["rows.jsonl", "rows.json", "rows.csv", "rows.parquet"];

const boxed = (answer: string) => `</think>\nThe answer is \\boxed{${answer}}.`;

async function aha(...args: string[]): Promise<string> {
  let out = "";
  const write = (text: string) => {
    out += text;
  };
  await main(args, { out: write, note: () => {}, signal: new AbortController().signal, interactive: false });
  return out;
}

describe.each(FILES)("%s", (name) => {
  const path = join(folder, name);

  test("a gold answer is judged by all its digits, by tasks and by rewards", async () => {
    const spec = { name: "math", prompt: "compact", data: { path, testShare: 0.4 } } as TaskSpec;
    const task = await createTask(spec, { seed: 0 });
    for (const problem of [task.trainProblem(0), ...task.heldOut(2)]) {
      expect(task.judge(problem, boxed(GOLD)).solved).toBe(true);
      expect(task.judge(problem, boxed(ROUNDED)).solved).toBe(false);
    }
    const { columns, prompt } = task.trainProblem(0);
    for (const reward of ["accuracy", "exact_match"]) {
      const inputs = [GOLD, ROUNDED].map((answer) => ({
        prompt,
        completion: `</think><answer>${answer}</answer>`,
        columns,
      }));
      const results = await judgeAll(createReward(reward), inputs);
      expect(results.map(({ score }) => score)).toEqual([1, 0]);
    }
  });

  test("aha data show has all its digits", async () => {
    expect(await aha("data", "show", path)).toContain(GOLD);
    expect(await aha("data", "show", path, "--json")).toContain(GOLD);
  });

  test("a data step writes it as it was", async () => {
    const directory = makeFiles({});
    const config = combineSchema.parse({ data: [{ path }], dedupe: false });
    await combine.run(config, {
      directory,
      compute: Compute.open({ threads: 2 }),
      signal: new AbortController().signal,
    });
    const written = readFileSync(join(directory, "data/train.jsonl"), "utf8");
    expect(written).toContain(name === "rows.csv" ? `"answer":"${GOLD}"` : `"answer":${GOLD}`);
    expect(written).not.toContain(ROUNDED);
  });
});

test("conversations and countdown read it too", async () => {
  const conversations = makeFiles({
    "rows.jsonl": [0, 1].map((i) => `{"prompt":"p${i}","answer":${GOLD}}\n`).join(""),
    "countdown.jsonl": `{"nums":[1,2],"target":${GOLD}}\n{"nums":[${GOLD},2],"target":3}\n`,
  });
  const spec = {
    name: "conversations",
    chat: false,
    answer: "answer",
    data: { path: join(conversations, "rows.jsonl"), testShare: 0.5 },
  };
  const task = await createTask(spec as TaskSpec, { seed: 0 });
  expect(task.judge(task.trainProblem(0), boxed(GOLD)).solved).toBe(true);
  expect(task.judge(task.trainProblem(0), boxed(ROUNDED)).solved).toBe(false);
  const countdown = { name: "countdown", prompt: "compact", file: join(conversations, "countdown.jsonl") };
  await expect(createTask(countdown as TaskSpec, { seed: 0 })).rejects.toThrow(`nums has ${GOLD}, which is more than`);
});

test("the arguments of a tool call reach the chat template with their digits, and rows with them are told apart", async () => {
  const row = (id: string) =>
    `{"messages":[{"role":"user","content":"q"},{"role":"assistant","tool_calls":[{"type":"function","function":{"name":"f","arguments":{"id":${id},"x":3.14159265358979323846}}}]},` +
    '{"role":"tool","content":"done"},{"role":"assistant","content":"a"}]}\n';
  const path = join(makeFiles({ "rows.jsonl": row(GOLD) + row("9007199254740995") }), "rows.jsonl");
  const template = "{% for m in messages if m.tool_calls %}{{ m.tool_calls | tojson }}{% endfor %}";
  const templates = new ChatTemplates(new Map([["default", template]]), {});
  const renderChat = (messages: Parameters<ChatTemplates["render"]>[0]) => templates.render(messages);
  const task = await createTask({ name: "conversations", data: { path, testShare: 0.5 } } as TaskSpec, {
    seed: 0,
    renderChat,
  });
  const prompts = [task.trainProblem(0), ...task.heldOut(1)].map(({ prompt }) => prompt);
  expect(prompts.some((prompt) => prompt.includes(`"id": ${GOLD}, "x": 3.141592653589793`))).toBe(true);
  expect(prompts.some((prompt) => prompt.includes('"id": 9007199254740995,'))).toBe(true);
});

test("aha reward judges it in a saved file", async () => {
  const file = join(
    makeFiles({
      "saved.jsonl": [GOLD, ROUNDED]
        .map((answer) => `{"prompt":"","completion":"<answer>${answer}</answer>","answer":${GOLD}}\n`)
        .join(""),
    }),
    "saved.jsonl",
  );
  const scored = (await aha("reward", "accuracy", "--in", file, "--json")).trim().split("\n");
  expect(scored.map((line) => JSON.parse(line).score)).toEqual([1, 0]);
});

test("a reward of the user's own gets a bigint, and digits where a number has too many of them", async () => {
  const file = join(
    makeFiles({
      "rows.jsonl": `{"prompt":"a","whole":${GOLD},"list":[3.14159265358979323846]}\n{"prompt":"b"}\n`,
      "own.mjs": `export default ({ columns: { whole, list } }) =>
        ({ score: Number(whole === ${GOLD}n && list[0] === "3.14159265358979323846"), reason: typeof whole });\n`,
    }),
    "own.mjs",
  );
  const data = await loadData(
    dataOptionsSchema.parse({ path: file.replace("own.mjs", "rows.jsonl"), testShare: 0.5, shuffle: false }),
    {
      seed: 0,
      identify: ({ fields }) => String(fields.prompt),
    },
  );
  const rows = [data.train(0), data.heldOut(0)].map(({ row }) => row.fields);
  const columns = rows.find(({ prompt }) => prompt === "a")!;
  const reward = new UserReward(parseRewardReference(file));
  await reward.open();
  expect(await reward.judgeBatch([{ prompt: "", completion: "", columns }])).toEqual([{ score: 1, reason: "bigint" }]);
  await reward.close();
});

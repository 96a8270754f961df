/** Data steps whose model, or refining model, is behind an endpoint: a fake one, and a server of our own. */

import { existsSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { Compute } from "../../src/compute/compute.ts";
import { completionText } from "../../src/data-steps/chat-prompts.ts";
import { coldStart, coldStartSchema } from "../../src/data-steps/cold-start.ts";
import { rejectionSamplingSchema } from "../../src/data-steps/rejection-sampling.ts";
import { teacherSamples } from "../../src/data-steps/teacher-samples.ts";
import { ingredientsOf } from "../../src/pipeline/plan.ts";
import { readAllJsonl } from "../data/read-all-jsonl.ts";
import { type Asked, chatReply, type FakeEndpoint, fakeEndpoint, type Reply } from "../endpoint/server.ts";
import { startServer } from "../serve/running-server.ts";
import { ScriptedSession, says, scriptedModel } from "../serve/scripted-session.ts";

let root: string;
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "aha-endpoint-steps-"));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});
const servers: FakeEndpoint[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

let count = 0;
/** A step's folder, and beside it that of the answers. */
function folders() {
  const directory = join(root, `step-${count++}`);
  mkdirSync(directory);
  return { directory, cacheDirectory: `${directory}-answers` };
}

async function serve(reply: (asked: Asked, index: number) => Reply | Promise<Reply>): Promise<FakeEndpoint> {
  const server = await fakeEndpoint(reply);
  servers.push(server);
  return server;
}

const TASK = { name: "countdown", prompt: "compact", counts: [3], max: 10 } as const;
const GOOD = "<think>1 + 2</think>\n<answer>1 + 2</answer>";

function teacherConfig(baseUrl: string, cacheDirectory: string, more: object = {}, endpoint: object = {}) {
  return rejectionSamplingSchema().parse({
    model: { endpoint: { baseUrl, model: "teacher", cacheDirectory, attempts: 1, concurrency: 1, ...endpoint } },
    task: TASK,
    ...{ prompts: 3, samples: 2, promptsPerPart: 2, maxCompletionTokens: 9, keep: [], dedupe: false, ...more },
  });
}

const run = (config: ReturnType<typeof teacherConfig>, directory: string, signal = new AbortController().signal) =>
  teacherSamples.run(config, { directory, compute: Compute.open({ threads: 2 }), signal });

const rowsOf = async (directory: string) =>
  (await readAllJsonl(join(directory, "data", "train.jsonl"))).map(({ fields }) => fields);

describe("a teacher behind an endpoint", () => {
  it("is sent plain prompts as one message, with a seed for each sample, and its answers become rows", async () => {
    const { directory, cacheDirectory } = folders();
    const server = await serve(() => chatReply(GOOD));
    const { lineage, train } = await run(teacherConfig(server.baseUrl, cacheDirectory, { topP: 0.9 }), directory);
    expect(train).toBe(6);
    expect(server.asked[0]!.body).toMatchObject({ model: "teacher", max_tokens: 9, temperature: 1, top_p: 0.9 });
    expect(new Set(server.asked.map(({ body }) => (body as unknown as { seed: number }).seed)).size).toBe(6);
    const rows = await rowsOf(directory);
    const asked = new Set(
      server.asked.map(({ body }) => body.messages.map(({ role, content }) => `${role} ${content}`)[0]),
    );
    expect(asked).toEqual(new Set(rows.map(({ prompt }) => `user ${prompt}`)));
    // The prompt ends with <think>: it is not repeated.
    expect(rows[0]!.completion).toBe("1 + 2</think>\n<answer>1 + 2</answer>");
    expect(lineage).toMatchObject({
      model: `teacher at ${server.baseUrl}`,
      endpoint: { requests: 6, promptTokens: 60, completionTokens: 30 },
    });
  });

  it("gets conversations as they are, and rows have them with the answer", async () => {
    const { directory, cacheDirectory } = folders();
    const server = await serve(() => chatReply(GOOD));
    await run(
      teacherConfig(server.baseUrl, cacheDirectory, { task: { ...TASK, prompt: "english" }, prompts: 1, samples: 1 }),
      directory,
    );
    const [asked] = server.asked;
    expect(asked!.body.messages.map(({ role }) => role)).toEqual(["system", "user"]);
    const [row] = await rowsOf(directory);
    expect(row).not.toHaveProperty("prompt");
    expect(row!.messages).toEqual([
      ...asked!.body.messages,
      { role: "assistant", content: `Let me solve this step by step.\n${GOOD}` },
    ]);
  });

  it("that answers nonsense once loses that answer, counted; nonsense only is an error", async () => {
    const { directory, cacheDirectory } = folders();
    const server = await serve((_, index) => (index === 2 ? { status: 200, body: "<html>" } : chatReply(GOOD)));
    const { lineage } = await run(teacherConfig(server.baseUrl, cacheDirectory), directory);
    expect(lineage).toMatchObject({ candidates: 6, kept: 5, dropped: { endpoint: 1 } });
    const [rejected] = await readAllJsonl(join(directory, "rejected.jsonl"));
    expect(rejected!.fields).toMatchObject({ droppedBy: "endpoint", reason: expect.stringContaining("not JSON") });

    const other = folders();
    const empty = await serve(() => chatReply("  "));
    await expect(run(teacherConfig(empty.baseUrl, other.cacheDirectory), other.directory)).rejects.toThrow(
      /teacher at http.*no answer can be used: its answer is empty.*run the same command to go on/,
    );
    expect(existsSync(join(other.directory, "data"))).toBe(false);
  });

  it("that goes down ends the step with what it had answered kept; the same command goes on", async () => {
    const { directory, cacheDirectory } = folders();
    let isUp = false;
    const server = await serve((_, index) => (isUp || index < 3 ? chatReply(GOOD) : { status: 503, body: "" }));
    const config = teacherConfig(server.baseUrl, cacheDirectory);
    await expect(run(config, directory)).rejects.toThrow(/answered 503.*What it has answered is kept/);
    isUp = true;
    const { train } = await run(config, directory);
    // Three answers, one refusal, and then the three that were missing.
    expect([train, server.asked.length]).toEqual([6, 7]);
  });

  it("whose first answer is a refusal is not asked again: a wrong key, an unknown model", async () => {
    const { directory, cacheDirectory } = folders();
    const server = await serve(() => ({ status: 401, body: "no such key" }));
    await expect(run(teacherConfig(server.baseUrl, cacheDirectory), directory)).rejects.toThrow(/answered 401/);
    expect(server.asked).toHaveLength(1);
  });

  it("stops at the limit, which holds over sessions, and goes on when that is raised", async () => {
    const { directory, cacheDirectory } = folders();
    const server = await serve(() => chatReply(GOOD));
    const limited = teacherConfig(server.baseUrl, cacheDirectory, {}, { maxTokens: 40 });
    await expect(run(limited, directory)).rejects.toThrow(/limit of 40 tokens is used up \(45\); raise maxTokens/);
    await expect(run(limited, directory)).rejects.toThrow(/used up \(45\)/);
    expect(server.asked).toHaveLength(3);
    const raised = teacherConfig(server.baseUrl, cacheDirectory, {}, { maxTokens: 400 });
    expect((await run(raised, directory)).train).toBe(6);
    expect(server.asked).toHaveLength(6);
  });

  it("changes a stage's content hash by its name, not by limits or keys", async () => {
    const ingredients = (endpoint: object) => {
      const config = teacherConfig("http://x/v1", "/cache", {}, endpoint);
      const stage = { name: "t", kind: "teacherSamples", makes: "dataset", references: [], isAdapted: false } as const;
      const rest = { note: undefined, isEvaluated: true, config: {}, source: "/p.yaml" };
      const inputs = { stages: [], directory: "/out", source: "/p.yaml", hashes: new Map() };
      const lineage = { stages: {}, superseded: {}, threads: 1 };
      const resolved = { ...stage, ...rest, work: { kind: "data" as const, step: teacherSamples, config } };
      return ingredientsOf({ ...inputs, lineage }, resolved);
    };
    const before = await ingredients({});
    expect(await ingredients({ maxTokens: 5, apiKeyEnv: "OTHER", timeoutMs: 1 })).toEqual(before);
    expect(await ingredients({ model: "another" })).not.toEqual(before);
    expect(JSON.stringify(before)).not.toContain("OPENAI_API_KEY");
  });

  it("may be our own server: by its chat route with the thinking rejoined, and by plain text", async () => {
    const session = new ScriptedSession(() => says("<think>\nHm.\n</think>\n\nFour."));
    const { url } = await startServer(scriptedModel(session, { maxContextTokens: 4000 }));
    const task = { name: "assistant" } as const;
    const more = { task, prompts: 1, samples: 1, maxCompletionTokens: 100 };
    const chat = folders();
    await run(teacherConfig(`${url}/v1`, chat.cacheDirectory, more, { model: "scripted" }), chat.directory);
    const textOf = ({ completion, messages }: Record<string, unknown>) =>
      completion ?? (messages as { content: string }[]).at(-1)!.content;
    expect(textOf((await rowsOf(chat.directory))[0]!)).toBe("Hm.</think>\nFour.");
    const plain = folders();
    const endpoint = { model: "scripted", route: "completions" };
    await run(teacherConfig(`${url}/v1`, plain.cacheDirectory, more, endpoint), plain.directory);
    expect(textOf((await rowsOf(plain.directory))[0]!)).toBe("<think>\nHm.\n</think>\n\nFour.");
  });

  it("is refused with topK, and beside a path", () => {
    const config = (more: object, model: object = {}) =>
      rejectionSamplingSchema().safeParse({
        model: { endpoint: { baseUrl: "http://x/v1", model: "m" }, ...model },
        ...{ task: TASK, prompts: 1, ...more },
      });
    expect(config({}).success).toBe(true);
    expect(config({ topK: 5 }).error!.issues[0]!.path).toEqual(["topK"]);
    expect(config({}, { path: "x" }).error!.issues[0]!.message).toMatch(/exactly one of path .* and endpoint/);
  });
});

describe("cold-start data by an endpoint", () => {
  const cold = async (method: object, reply: (asked: Asked, index: number) => Reply, more: object = {}) => {
    const { directory, cacheDirectory } = folders();
    const server = await serve(reply);
    const endpoint = { baseUrl: server.baseUrl, model: "m", cacheDirectory, attempts: 1, concurrency: 1 };
    const config = coldStartSchema().parse({
      ...{ model: { endpoint }, task: TASK, prompts: 2, samples: 1, keep: [], ...method, ...more },
      ...("refiner" in method ? { refiner: { endpoint: { ...endpoint, model: "refiner" } } } : {}),
    });
    const { lineage } = await coldStart.run(config, {
      directory,
      compute: Compute.open({ threads: 2 }),
      signal: new AbortController().signal,
    });
    return { server, lineage, rows: await rowsOf(directory) };
  };

  it("few-shot: worked examples stand before the prompt, and not in the row", async () => {
    const { server, lineage, rows } = await cold({ method: "few-shot", examples: 2 }, () => chatReply(GOOD));
    const { content } = server.asked[0]!.body.messages[0]!;
    expect(content.match(/<answer>.*<\/answer>/g)).toHaveLength(2);
    expect(content.match(/create an equation/g)).toHaveLength(3);
    for (const { prompt } of rows) expect(String(prompt).match(/create an equation/g)).toHaveLength(1);
    expect(lineage.prompting).toEqual({ examples: 2, separator: "\n\n" });
  });

  it("direct: the instruction stands before a plain prompt, in a conversation's system message, and not in the row", async () => {
    const method = { method: "direct", instruction: "Check yourself." };
    const plain = await cold(method, () => chatReply(GOOD));
    expect(plain.server.asked[0]!.body.messages[0]!.content).toMatch(/^Check yourself\.\n\nUsing the numbers/);
    expect(JSON.stringify(plain.rows)).not.toContain("Check yourself");
    expect(plain.lineage.prompting).toEqual({ instruction: "Check yourself." });
    const chat = await cold(method, () => chatReply(GOOD), { task: { ...TASK, prompt: "english" } });
    expect(chat.server.asked[0]!.body.messages[0]!.content).toMatch(/^You are a helpful[\s\S]*Check yourself\.$/);
    expect(JSON.stringify(chat.rows)).not.toContain("Check yourself");
  });

  it("refine: what the rules let through is rewritten by the refining model, which may fail once", async () => {
    let asked = 0;
    const reply = ({ body }: Asked): Reply => {
      if (body.model === "m") return chatReply(GOOD);
      return asked++ === 0 ? chatReply("<think>\nOne and two.\n</think>\n<answer>1 + 2</answer>") : chatReply(" ");
    };
    const { server, lineage, rows } = await cold({ method: "refine", refiner: {} }, reply);
    const sent = server.asked.filter(({ body }) => body.model === "refiner");
    expect(sent[0]!.body.messages[1]!.content).toContain("<think>1 + 2</think>\n<answer>1 + 2</answer>");
    expect(rows.map(({ completion }) => completion)).toEqual(["One and two.</think>\n<answer>1 + 2</answer>"]);
    expect(lineage).toMatchObject({ kept: 1, dropped: { "refining model": 1 }, refiner: { requests: 2 } });
    expect(lineage.prompting).toEqual({
      template: "{thinking}</think>\n<answer>{answer}</answer>",
      refinerInstruction: expect.stringMatching(/^You are given a problem/),
    });
  });

  it("refine: a wrong answer is not paid for where only solved ones are kept", async () => {
    const asked: string[] = [];
    const reply = ({ body }: Asked) => {
      asked.push(body.model);
      return chatReply("<think>x</think>\n<answer>0</answer>");
    };
    const keep = { keep: [{ verdict: "solved" }] };
    await expect(cold({ method: "refine", refiner: {} }, reply, keep)).rejects.toThrow(/verdict solved: 2/);
    expect(asked).toEqual(["m", "m"]);
  });
});

describe("an answer as a completion", () => {
  const answer = (text: string, reasoning?: string, finishReason = "stop") => ({
    text,
    finishReason,
    usage: { promptTokens: 1, completionTokens: 1 },
    ...(reasoning !== undefined && { reasoning }),
  });
  it("has its thinking between tags again, open where it was cut off in it", () => {
    expect(completionText("2 + 2?", answer("4", "Hm"))).toBe("<think>Hm</think>\n4");
    expect(completionText("2 + 2?\n<think>", answer("4", "Hm"))).toBe("Hm</think>\n4");
    expect(completionText("2 + 2?", answer("", "Hm", "length"))).toBe("<think>Hm");
    expect(completionText("2 + 2?", answer("4"))).toBe("4");
  });
});

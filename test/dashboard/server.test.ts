import { appendFileSync, cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request as httpRequest } from "node:http";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { dashboardOnThread } from "../../src/dashboard/on-thread.ts";
import { Dashboard } from "../../src/dashboard/server.ts";
import { Random } from "../../src/random.ts";
import { lockRun } from "../../src/run/run-lock.ts";
import { evaluationLine, eventLine, metricsLine, STAGE, timingLine, writeRun } from "./written-run.ts";

// biome-ignore lint/suspicious/noExplicitAny: what is read is looked into, and the tests say what is in it.
type Json = any;

let root: string;
let dashboard: Dashboard;
const defects: unknown[] = [];

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), "aha-dashboard-"));
  writeRun(join(root, "runs/one"), { steps: 200, rollouts: 400, isFinished: true, withTokens: true });
  writeRun(join(root, "runs/two"), {
    steps: 200,
    rollouts: 100,
    seed: 3,
    isFinished: true,
    stage: { learningRate: 0.002 },
  });
  mkdirSync(join(root, "runs/nothing"));
  dashboard = await Dashboard.listen({
    roots: ["runs"],
    from: root,
    port: 0,
    onDefect: (error) => defects.push(error),
  });
});

afterEach(() => {
  expect(defects).toEqual([]);
});

afterAll(async () => {
  await dashboard.close();
  rmSync(root, { recursive: true, force: true });
});

interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
  readonly json: () => Json;
}

/** node:http lets a test send any Host. */
function ask(path: string, headers: Record<string, string> = {}, method = "GET", body = ""): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ port: dashboard.port, host: "127.0.0.1", path, method, headers }, (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => {
        text += chunk;
      });
      response.on("end", () =>
        resolve({ status: response.statusCode!, headers: response.headers, text, json: () => JSON.parse(text) }),
      );
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

/** Events of a stream, as they come. */
async function* events(path: string, signal: AbortSignal): AsyncGenerator<Json> {
  const response = await fetch(new URL(path, dashboard.url), { signal });
  expect(response.headers.get("content-type")).toMatch(/^text\/event-stream/);
  let text = "";
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    text += chunk;
    const parts = text.split("\n\n");
    text = parts.pop()!;
    for (const part of parts) if (part.startsWith("data: ")) yield JSON.parse(part.slice(6));
  }
}

describe("the page", () => {
  it("comes with its script and style, and a policy that lets nothing else in", async () => {
    const page = await ask("/");
    expect(page.status).toBe(200);
    expect(page.text).not.toMatch(/<script>|style=/);
    expect(page.headers["content-security-policy"]).toContain(
      "default-src 'none'; script-src 'self'; style-src 'self'",
    );
    expect(page.headers["x-frame-options"]).toBe("DENY");
    const script = await ask("/page.js");
    expect(script.headers["content-type"]).toMatch(/javascript/);
    // A page that is loaded in a second: what it weighs is a choice.
    expect(script.text.length).toBeLessThan(250_000);
    expect(script.text).toContain("Copyright (c) 2022 Leon Sorokin");
    expect((await ask("/page.css")).headers["content-type"]).toMatch(/css/);
  });

  it.each(["/../package.json", "/page/main.tsx", "/etc/passwd", "/api/nothing"])("has nothing at %s", async (path) => {
    expect((await ask(path)).status).toBe(404);
  });
});

describe("who may ask", () => {
  it.each(["evil.example", "evil.example:6200", "127.0.0.1.evil.example", "10.0.0.1"])(
    "not by the name %j",
    async (host) => {
      const answer = await ask("/api/runs", { host });
      expect(answer.status).toBe(403);
      expect(answer.text).not.toContain("runs/one");
    },
  );

  it.each(["localhost:9", "127.0.0.1", "[::1]:8080"])("by the name %s: a port may be forwarded", async (host) => {
    expect((await ask("/api/runs", { host })).status).toBe(200);
  });

  it.each(["https://evil.example", "null", "http://localhost:1"])("not a page of the origin %s", async (origin) => {
    expect((await ask("/api/runs", { host: "127.0.0.1:6200", origin })).status).toBe(403);
    expect((await ask("/api/stop?id=runs/one", { host: "127.0.0.1:6200", origin }, "POST")).status).toBe(403);
  });

  it("not a page of another site that sends no origin", async () => {
    expect((await ask("/api/runs", { "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors" })).status).toBe(403);
    expect((await ask("/", { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" })).status).toBe(200);
  });

  it("with a form nothing can be changed", async () => {
    const form = { "content-type": "application/x-www-form-urlencoded" };
    expect((await ask("/api/stop?id=runs/one", form, "POST")).status).toBe(415);
    expect((await ask("/api/stop?id=runs/one")).status).toBe(405);
    expect((await ask("/api/runs", { "content-type": "application/json" }, "POST")).status).toBe(405);
  });
});

describe("runs", () => {
  it("are listed with their state and result", async () => {
    const cards = (await ask("/api/runs")).json();
    expect(cards.map(({ id, state, seed }: Json) => [id, state, seed])).toEqual([
      ["runs/one", "finished", 1],
      ["runs/two", "finished", 3],
    ]);
    expect(cards[0].result).toMatchObject({ statistic: "solveRate", first: 0.2, latest: 0.4 });
    expect(cards[0]).toMatchObject({ alarms: 0, progress: 1, task: "countdown" });
  });

  it("have a page with charts, every metric explained, alarms and times", async () => {
    const view = (await ask("/api/run?id=runs/one")).json();
    const [stage] = view.stages;
    expect(stage.charts.map(({ title }: Json) => title)).toContain("Solve rate");
    expect(stage.charts[0].heldOut[0].points).toHaveLength(2);
    expect(stage.metrics.every(({ meaning, watch }: Json) => meaning.length > 20 && watch.length > 5)).toBe(true);
    expect(view.alarms.map(({ state }: Json) => state)).toEqual(["raised", "cleared"]);
    expect(stage.time.sampling_time).toBeCloseTo(180);
    expect(view.notes).toEqual([]);
    expect(view.recipeYaml).toContain("learningRate: 0.001");
  });

  it("give their numbers in columns, and as CSV with all digits", async () => {
    const { metrics, timings } = (
      await ask(`/api/metrics?id=runs/one&stage=${STAGE}&names=reward,step_time,nothing`)
    ).json();
    expect(metrics.steps).toHaveLength(200);
    expect(Object.keys(metrics.columns)).toEqual(["reward"]);
    expect(timings.columns.step_time[5]).toBe(1.5);
    const csv = await ask(`/api/metrics.csv?id=runs/one&stage=${STAGE}`);
    const [header, first] = csv.text.split("\r\n");
    const row = JSON.parse(metricsLine(1, new Random(1, "written-run")));
    const column = header!.split(",").indexOf("solve_rate");
    expect(Number(first!.split(",")[column])).toBe(row.solve_rate);
    expect(csv.headers["content-disposition"]).toContain("runs-one-r1-zero.csv");
  });

  it("give evaluations with their answers", async () => {
    const record = (await ask("/api/evaluation?id=runs/one&index=1")).json();
    expect(record.completions).toHaveLength(20);
    expect((await ask("/api/evaluation?id=runs/one&index=2")).status).toBe(404);
    expect((await ask("/api/evaluation?id=runs/one&index=x")).json().error).toMatch(/whole number/);
  });

  it("give rollouts, filtered, and one of them opened", async () => {
    const page = (
      await ask("/api/rollouts?id=runs/one&solved=true&lengthMin=&by=advantage&descending=true&limit=5")
    ).json();
    expect(page.items).toHaveLength(5);
    expect(page.total).toBe(400);
    const opened = (await ask(`/api/rollout?id=runs/one&row=${page.items[0].row}`)).json();
    expect(opened.record.solved).toBe(true);
    expect(opened.record.samplerLogprobs).toHaveLength(12);
    expect((await ask("/api/rollouts?id=runs/one&solved=perhaps")).status).toBe(400);
    expect((await ask("/api/rollouts?id=runs/one&by=nothing")).json().error).toMatch(/cannot be sorted/);
    expect((await ask("/api/rollouts?id=runs/one&text=(&isPattern=true")).status).toBe(422);
    expect((await ask("/api/rollout?id=runs/one&row=400")).status).toBe(404);
  });

  it("are compared: recipes key by key, problems in pairs", async () => {
    const comparison = (await ask("/api/compare?id=runs/one&id=runs/two")).json();
    expect(comparison.differences).toEqual([
      { key: "seed", values: ["1", "3"] },
      { key: "stages.0.learningRate", values: ["0.001", "0.002"] },
    ]);
    const [test] = comparison.tests;
    // The first solves 8 of 20, the second these and 4 more.
    expect(test.mcNemar).toEqual({ onlyFirst: 0, onlySecond: 4, pValue: 0.125 });
    expect(test.differences.solveRate.difference).toBeCloseTo(0.2);
    expect(comparison.problems).toHaveLength(20);
    expect((await ask("/api/compare?id=runs/one")).json().error).toMatch(/two to 6/);
  });

  it.each(["runs/three", "../../etc", "runs/nothing", "/etc"])("that there are not are not found: %s", async (id) => {
    expect((await ask(`/api/run?id=${encodeURIComponent(id)}`)).status).toBe(404);
    expect((await ask(`/api/rollouts?id=${encodeURIComponent(id)}`)).status).toBe(404);
  });
});

describe("a run that goes on", () => {
  it("tells a new row within a second, and everything again after a resume that cut it back", async () => {
    const path = join(root, "runs/live");
    writeRun(path, { steps: 10, rollouts: 0 });
    const random = new Random(9, "live");
    const controller = new AbortController();
    const stream = events("/api/events?id=runs/live", controller.signal);
    const next = async (wanted: (value: Json) => boolean) => {
      for (;;) {
        const { value } = await stream.next();
        if (wanted(value)) return value;
      }
    };
    await next((value) => value.connected);

    const half = metricsLine(11, random);
    appendFileSync(join(path, "metrics.jsonl"), half.slice(0, 40));
    const at = performance.now();
    appendFileSync(join(path, "metrics.jsonl"), half.slice(40) + metricsLine(12, random));
    appendFileSync(join(path, "timings.jsonl"), timingLine(11));
    const news = await next((value) => value.metrics?.length > 0);
    expect(performance.now() - at).toBeLessThan(1000);
    expect(news).toMatchObject({ id: "runs/live", restarted: false });
    expect(news.metrics.map(({ step }: Json) => step)).toEqual([11, 12]);

    appendFileSync(join(path, "evaluations.jsonl"), evaluationLine(12, "during", 0.5));
    appendFileSync(join(path, "events.jsonl"), eventLine(60, "checkpoint", { stage: STAGE, step: 12 }));
    expect((await next((value) => value.evaluations?.length > 0)).evaluations[0].statistics.solveRate).toBe(0.5);

    const fresh = new Random(1, "written-run");
    writeFileSync(join(path, "metrics.jsonl"), [1, 2, 3].map((step) => metricsLine(step, fresh)).join(""));
    const again = await next((value) => value.restarted);
    expect(again.metrics.map(({ step }: Json) => step)).toEqual([1, 2, 3]);

    const release = lockRun(path);
    expect((await next((value) => value.state === "running")).state).toBe("running");
    release();
    expect((await next((value) => value.state !== "running")).state).toBe("ended");

    rmSync(path, { recursive: true });
    expect((await next((value) => value.state === "gone")).state).toBe("gone");
    controller.abort();
    await stream.next().catch(() => undefined);
    expect((await ask("/api/run?id=runs/live")).status).toBe(410);
    expect((await ask("/api/runs")).json().map(({ id }: Json) => id)).not.toContain("runs/live");
  });

  it("is shown as far as its files can be read", async () => {
    const path = join(root, "runs/damaged");
    writeRun(path, { steps: 5, rollouts: 5 });
    appendFileSync(
      join(path, "metrics.jsonl"),
      'nonsense\n{"stage":1}\n{"stage":"r1-zero","step":6,"reward":1.5,"x":"y"}\n',
    );
    appendFileSync(join(path, "evaluations.jsonl"), "{}\n");
    const view = (await ask("/api/run?id=runs/damaged")).json();
    expect(view.notes).toEqual([
      "metrics.jsonl: 1 line is no JSON object and left out (line 6).",
      "2 lines of the logs are not in the form of their log.",
    ]);
    expect(view.stages[0].metrics.find(({ name }: Json) => name === "reward").latest).toBe(1.5);
    writeFileSync(join(path, "recipe.yaml"), "[1, 2");
    expect((await ask("/api/run?id=runs/damaged")).status).toBe(422);
    writeFileSync(join(path, "recipe.yaml"), "stages: 3\n");
    const cards = (await ask("/api/runs")).json();
    expect(cards.find(({ id }: Json) => id === "runs/damaged").problem).toMatch(/not a recipe/);
    expect((await ask("/api/run?id=runs/damaged")).json().error).toMatch(/not a recipe/);
    rmSync(path, { recursive: true });
  });

  it("is asked to stop once, and only where its process is certain", async () => {
    const path = join(root, "runs/stopped");
    cpSync(join(root, "runs/two"), path, { recursive: true });
    rmSync(join(path, "summary.json"));
    const stop = () => ask("/api/stop?id=runs/stopped", { "content-type": "application/json" }, "POST", "{}");
    expect((await stop()).json().error).toMatch(/nothing to stop/);
    writeFileSync(
      join(path, "run.lock"),
      JSON.stringify({ pid: process.pid, host: "elsewhere", startedAt: "", processStart: null }),
    );
    expect((await stop()).json().error).toMatch(/elsewhere, which cannot be reached/);
    // A lock of a process whose id was used again: it is not the run.
    writeFileSync(
      join(path, "run.lock"),
      JSON.stringify({ pid: process.pid, host: hostname(), startedAt: "", processStart: "other" }),
    );
    expect((await stop()).json().error).toMatch(/nothing to stop/);
    rmSync(join(path, "run.lock"));
    const release = lockRun(path);
    let signals = 0;
    const onSignal = () => {
      signals++;
    };
    process.on("SIGINT", onSignal);
    expect((await stop()).json()).toEqual({ asked: true });
    expect((await stop()).json().error).toMatch(/asked to stop already/);
    await new Promise((resolve) => setTimeout(resolve, 100));
    process.off("SIGINT", onSignal);
    release();
    expect(signals).toBe(1);
  });
});

describe("the port", () => {
  it("of another dashboard is refused, or the next one is taken where nobody asked for it", async () => {
    const { port } = dashboard;
    const options = { roots: ["runs"], from: root, port };
    await expect(Dashboard.listen(options)).rejects.toThrow(
      /another one of Aha, listens there\. Choose another one with --port/,
    );
    const second = await Dashboard.listen({ ...options, anyPort: true });
    expect(second.port).toBeGreaterThan(port);
    await second.close();
  });

  it("of one on a thread is told, and given back", async () => {
    const second = await dashboardOnThread({ roots: ["runs"], from: root, port: 0 });
    expect(await (await fetch(new URL("/api/runs", second.url))).json()).toHaveLength(
      (await ask("/api/runs")).json().length,
    );
    await second.close();
    await expect(fetch(second.url)).rejects.toThrow();
    await expect(dashboardOnThread({ roots: [], from: root, port: dashboard.port })).rejects.toThrow(/--port/);
  });
});

/** The tracker mlflow against a server that answers as MLflow does, and against servers that do not. */

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import "../../src/node-entries.ts";
import { RunDirectory } from "../../src/run/run-directory.ts";
import { MlflowClient } from "../../src/tracking/mlflow/client.ts";
import type { Tracker } from "../../src/tracking/tracker.ts";
import { checkedTracker, trackers } from "../../src/tracking/trackers.ts";
import { addStep, expectedScalars, openRun, RECIPE, SUMMARY, trackedRun } from "./runs.ts";

let root: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "aha-mlflow-"));
});
afterAll(() => rm(root, { recursive: true, force: true }));

const servers: Server[] = [];
afterEach(() => {
  vi.unstubAllEnvs();
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

type Answer = (request: IncomingMessage, response: ServerResponse, body: string) => void;

async function listening(answer: Answer, port = 0): Promise<string> {
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const chunk of request) body += String(chunk);
    answer(request, response, body);
  });
  servers.push(server);
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

interface Metric {
  readonly key: string;
  readonly value: number | string;
  readonly timestamp: number;
  readonly step: number;
}

/** As much of MLflow as the tracker asks for; metrics that are the same in everything are one, as in its database. */
class FakeMlflow {
  metrics = new Map<string, Metric>();
  tags = new Map<string, string>();
  params = new Map<string, string>();
  artifacts = new Map<string, string>();
  statuses: string[] = [];
  runs: string[] = [];
  authorizations = new Set<string | undefined>();
  experiment: string | undefined;
  /** Answers so many requests of log-batch with 500 though it has done them. */
  losesAnswers = 0;

  answer: Answer = (request, response, body) => {
    this.authorizations.add(request.headers.authorization);
    const url = new URL(request.url!, "http://x");
    const send = (status: number, value: object) => {
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    };
    const absent = () => send(404, { error_code: "RESOURCE_DOES_NOT_EXIST", message: "no such thing" });
    const artifact = url.pathname.split("/mlflow-artifacts/artifacts/")[1];
    if (artifact !== undefined) {
      this.artifacts.set(decodeURIComponent(artifact), body);
      send(200, {});
      return;
    }
    const asked = body === "" ? {} : (JSON.parse(body) as Record<string, unknown>);
    switch (url.pathname.replace("/api/2.0/mlflow/", "")) {
      case "experiments/get-by-name":
        if (this.experiment === url.searchParams.get("experiment_name"))
          send(200, { experiment: { experiment_id: "1" } });
        else absent();
        return;
      case "experiments/create":
        this.experiment = asked.name as string;
        send(200, { experiment_id: "1" });
        return;
      case "runs/search":
        send(200, { runs: [] });
        return;
      case "runs/create":
        this.runs.push(`run${this.runs.length}`);
        send(200, { run: this.run });
        return;
      case "runs/get":
        if (this.runs.includes(url.searchParams.get("run_id")!)) send(200, { run: this.run });
        else absent();
        return;
      case "runs/update":
        this.statuses.push(asked.status as string);
        send(200, {});
        return;
      case "runs/log-batch":
        this.logBatch(asked as never);
        if (this.losesAnswers-- > 0) send(500, { error_code: "INTERNAL_ERROR", message: "database is locked" });
        else send(200, {});
        return;
      default:
        absent();
    }
  };

  private logBatch(batch: Record<"metrics" | "tags" | "params", readonly Metric[] | undefined>): void {
    for (const metric of batch.metrics ?? []) this.metrics.set(JSON.stringify(metric), metric);
    for (const { key, value } of batch.tags ?? []) this.tags.set(key, String(value));
    for (const { key, value } of batch.params ?? []) this.params.set(key, String(value));
  }

  private get run(): object {
    const latest = new Map<string, Metric>();
    for (const metric of this.metrics.values()) {
      if (metric.step >= (latest.get(metric.key)?.step ?? 0)) latest.set(metric.key, metric);
    }
    const tags = [...this.tags].map(([key, value]) => ({ key, value }));
    const run_id = this.runs.at(-1);
    return {
      info: {
        run_id,
        status: this.statuses.at(-1) ?? "RUNNING",
        artifact_uri: `mlflow-artifacts:/1/${run_id}/artifacts`,
      },
      data: { metrics: [...latest.values()].map((metric) => ({ ...metric, step: String(metric.step) })), tags },
    };
  }

  get scalars(): Record<string, [number, number][]> {
    const found: Record<string, [number, number][]> = {};
    for (const { key, step, value } of this.metrics.values())
      found[key] = [...(found[key] ?? []), [step, value as number]];
    for (const points of Object.values(found)) points.sort(([a], [b]) => a - b);
    return found;
  }
}

async function opened(
  run: RunDirectory,
  options: object = {},
  more: Parameters<typeof trackedRun>[1] = {},
): Promise<Tracker> {
  const { name, ...checked } = checkedTracker({ name: "mlflow", ...options });
  return await trackers.get(name).open(trackedRun(run, more), checked);
}

const moment = (ms = 100) => new Promise((resolve) => setTimeout(resolve, ms));

describe("a run on an MLflow server", () => {
  it("has its numbers, params, completions, alarms and its end; a token goes along and is nowhere else", async () => {
    const server = new FakeMlflow();
    vi.stubEnv("MLFLOW_TRACKING_URI", await listening(server.answer));
    vi.stubEnv("MLFLOW_TRACKING_TOKEN", "s3cret-token");
    const run = await openRun(root, "whole");
    const tracker = await opened(run, { experiment: "toys" });
    for (let step = 1; step <= 4; step++) addStep(run, step, tracker);
    await tracker.finish?.({ state: "finished", summary: SUMMARY });
    run.close();
    expect(server.scalars).toEqual(expectedScalars(4));
    expect(server.experiment).toBe("toys");
    expect(server.params.get("rl.learningRate")).toBe("0.001");
    expect(server.tags.get("alarms/entropy-collapse")).toMatch(/^raised at step 3: Entropy falls/);
    const table = JSON.parse(server.artifacts.get("1/run0/artifacts/train/completions/step-000002.json")!) as {
      columns: string[];
      data: unknown[][];
    };
    expect(table.columns).toEqual(expect.arrayContaining(["prompt", "completion", "reward", "advantage"]));
    expect(table.data).toHaveLength(2);
    expect(JSON.parse(server.artifacts.get("1/run0/artifacts/summary.json")!)).toMatchObject({ seconds: 3 });
    expect(server.statuses).toEqual(["FINISHED"]);
    expect([...server.authorizations]).toEqual(["Bearer s3cret-token"]);
    for (const name of await readdir(run.path, { recursive: true, withFileTypes: true })) {
      if (name.isFile()) expect(readFileSync(join(name.parentPath, name.name), "utf8")).not.toContain("s3cret");
    }
  });

  it("has every step once after lost answers, a kill and a resume", async () => {
    const server = new FakeMlflow();
    vi.stubEnv("MLFLOW_TRACKING_URI", await listening(server.answer));
    const run = await openRun(root, "killed");
    const first = await opened(run, { completions: 0 });
    for (let step = 1; step <= 2; step++) addStep(run, step, first);
    server.losesAnswers = 1;
    await run.saveCheckpoint({ stage: "rl", step: 2, trainerState: {}, stageComplete: false, keep: 1 }, async () => {});
    addStep(run, 3, first);
    await moment();
    run.close();
    const again = await RunDirectory.resume(run.path, RECIPE);
    const second = await opened(again, { completions: 0 }, { resumed: { stage: "rl", step: 2 } });
    for (let step = 3; step <= 5; step++) addStep(again, step, second);
    await second.finish?.({ state: "interrupted", reason: "stopped" });
    again.close();
    expect(server.runs).toEqual(["run0"]);
    expect(server.scalars).toEqual(expectedScalars(5));
    expect(server.statuses.at(-1)).toBe("KILLED");
  });

  it("is made when the server comes, and again when the server forgot it", async () => {
    const server = new FakeMlflow();
    const uri = await listening(server.answer);
    servers[0]!.close();
    await once(servers[0]!, "close");
    const run = await openRun(root, "absent");
    const warnings: string[] = [];
    const warn = (message: string) => void warnings.push(message);
    const tracker = await opened(run, { uri }, { warn });
    addStep(run, 1, tracker);
    await tracker.finish?.({ state: "interrupted", reason: "stopped" });
    expect(warnings[0]).toMatch(/^The tracker mlflow failed: http:\/\/127\.0\.0\.1:\d+ cannot be reached/);
    expect(warnings[1]).toMatch(/aha track .* --to mlflow sends the rest/);
    await listening(server.answer, Number(new URL(uri).port));
    const later = await opened(run, { uri }, { resumed: { stage: "rl", step: 1 } });
    await later.finish?.({ state: "interrupted", reason: "stopped" });
    expect(server.scalars).toEqual(expectedScalars(1));
    server.metrics.clear();
    server.tags.clear();
    server.runs = ["another"];
    const anew = await opened(run, { uri }, { resumed: { stage: "rl", step: 1 } });
    await anew.finish?.({ state: "interrupted", reason: "stopped" });
    run.close();
    expect(server.scalars).toEqual(expectedScalars(1));
  });

  it("does not get credentials that are meant for another server", async () => {
    const server = new FakeMlflow();
    const uri = await listening(server.answer);
    vi.stubEnv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1");
    vi.stubEnv("MLFLOW_TRACKING_USERNAME", "me");
    vi.stubEnv("MLFLOW_TRACKING_PASSWORD", "pw");
    const run = await openRun(root, "foreign");
    await (await opened(run, { uri })).finish?.({ state: "interrupted", reason: "stopped" });
    run.close();
    expect([...server.authorizations]).toEqual([undefined]);
  });
});

describe("a server that is none of MLflow's", () => {
  it("is refused where it refuses, before the run begins, without the secret in the message", async () => {
    const uri = await listening((request, response) => {
      const message = `bad ${request.headers.authorization}`;
      response.writeHead(401).end(JSON.stringify({ error_code: "UNAUTHENTICATED", message }));
    });
    vi.stubEnv("MLFLOW_TRACKING_URI", uri);
    vi.stubEnv("MLFLOW_TRACKING_TOKEN", "s3cret-token");
    const run = await openRun(root, "refused");
    const refused = await opened(run).catch((error: unknown) => error);
    expect(String(refused)).toMatch(/tracker mlflow: .* answered 401: .*MLFLOW_TRACKING_TOKEN/);
    expect(String(refused)).not.toContain("s3cret");
    run.close();
  });

  it("may redirect three times on itself, and nowhere else", async () => {
    let count = 0;
    const uri = await listening((request, response) => {
      const n = Number(new URL(request.url!, "http://x").searchParams.get("n") ?? 0);
      count++;
      if (request.url!.includes("ends") && n === 3) response.end("{}");
      else if (request.url!.includes("away")) response.writeHead(307, { location: "http://127.0.0.2:1/x" }).end();
      else response.writeHead(307, { location: `${request.url!.split("?")[0]}?n=${n + 1}` }).end();
    });
    const client = new MlflowClient(uri, {});
    expect(await client.call("ends", {})).toEqual({});
    await expect(client.call("away", {})).rejects.toThrow(/redirects to "http:\/\/127\.0\.0\.2:1\/x"/);
    count = 0;
    await expect(client.call("round", {})).rejects.toThrow(/redirects more than 3 times/);
    expect(count).toBe(4);
  });

  it("is not read without end, and has to answer JSON", async () => {
    const uri = await listening((request, response) => {
      if (request.url!.includes("page")) response.end("<html>");
      else response.end(Buffer.alloc(17 * 2 ** 20, " "));
    });
    const client = new MlflowClient(uri, {});
    await expect(client.call("long", {})).rejects.toThrow(/longer than/);
    await expect(client.call("page", {})).rejects.toThrow(/is not JSON: is it an MLflow server\?/);
  });

  it("has to be named", async () => {
    vi.stubEnv("MLFLOW_TRACKING_URI", "");
    const run = await openRun(root, "unnamed");
    await expect(opened(run)).rejects.toThrow(/no server is named\. Set MLFLOW_TRACKING_URI/);
    vi.stubEnv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db");
    await expect(opened(run)).rejects.toThrow(/MLFLOW_TRACKING_URI: expected an http or https address/);
    run.close();
  });
});

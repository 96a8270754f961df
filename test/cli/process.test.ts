/** The built program as a process of its own: signals, pipes, and what a kill leaves behind. */

import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { QUICK, SMOKE_RECIPE } from "../recipe/smoke.ts";

const PROGRAM = join(import.meta.dirname, "../../dist/cli/main.js");

/** Enough iterations that a signal finds the run at work. */
const SETS = [...QUICK, "stages.r1-zero.iterations=12", "stages.r1-zero.checkpointEvery=3"].flatMap((set) => [
  "--set",
  set,
]);

let root: string;
beforeAll(() => {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: run npm run build first (npm test does).`);
  root = mkdtempSync(join(tmpdir(), "aha-process-"));
});
afterAll(() => {
  rmSync(root, { recursive: true, force: true });
});

interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null; stdout: string; stderr: string }>;
  /** Resolves as soon as standard error has this text. */
  readonly shows: (text: string) => Promise<void>;
}

function start(...args: string[]): Running {
  const child = spawn(process.execPath, [PROGRAM, ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout!.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  child.stderr!.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const ended = new Promise<Awaited<Running["ended"]>>((resolve) => {
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
  });
  const shows = (text: string) =>
    new Promise<void>((resolve) => {
      const look = () => {
        if (stderr.includes(text)) resolve();
      };
      child.stderr!.on("data", look);
      child.on("close", () => resolve());
      look();
    });
  return { child, ended, shows };
}

const run = (out: string, ...args: string[]) => start("run", SMOKE_RECIPE, ...SETS, "--out", out, ...args);

/** Everything that has to be the same in two runs of one recipe and seed. */
function reproducible(path: string): string[] {
  const files = ["metrics.jsonl", "rollouts.jsonl", "evaluations.jsonl", "model/model.safetensors"];
  return files.map((file) => readFileSync(join(path, file)).toString("base64"));
}

describe("the aha process", () => {
  it("stopped by Ctrl-C and by SIGTERM, killed, and resumed each time, ends where an untouched run ends", async () => {
    const whole = join(root, "whole");
    expect((await run(whole).ended).code).toBe(0);

    const out = join(root, "touched");
    const first = run(out);
    await first.shows("Stage 1");
    first.child.kill("SIGINT");
    const stopped = await first.ended;
    expect(stopped.code).toBe(130);
    expect(stopped.stderr).toContain("--resume");
    expect(existsSync(join(out, "run.lock"))).toBe(false);

    const second = run(out, "--resume");
    await second.shows("Stage 2");
    second.child.kill("SIGTERM");
    expect((await second.ended).code).toBe(130);

    const third = run(out, "--resume");
    await third.shows("Stage 2");
    third.child.kill("SIGKILL");
    expect((await third.ended).signal).toBe("SIGKILL");
    expect(existsSync(join(out, "run.lock"))).toBe(true);

    const last = await run(out, "--resume").ended;
    expect([last.code, last.stderr.includes("Continuing from checkpoint")]).toEqual([0, true]);
    expect(reproducible(out)).toEqual(reproducible(whole));
  });

  it("refuses a directory that another process is working in", async () => {
    const out = join(root, "busy");
    const first = run(out);
    await first.shows("Stage 1");
    const second = await run(out, "--resume").ended;
    expect(second.code).toBe(1);
    expect(second.stderr).toContain(`in use by process ${first.child.pid}`);
    first.child.kill("SIGKILL");
    await first.ended;
  });

  it("ends quietly when whoever reads its output goes away", async () => {
    const running = run(join(root, "pipe"), "--json");
    await new Promise<void>((resolve) => running.child.stdout!.once("data", () => resolve()));
    running.child.stdout!.destroy();
    const { code, stderr } = await running.ended;
    expect([code, stderr]).toEqual([0, ""]);
  });

  it("shows its help at once", async () => {
    const { code, stdout } = await start("--help").ended;
    expect([code, stdout.includes("Usage: aha COMMAND")]).toEqual([0, true]);
  });
});

/** `aha track`. */

import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { main } from "../../src/cli/main.ts";
import { addStep, openRun, SUMMARY } from "../tracking/runs.ts";
import { recordedConsole } from "./console.ts";

let root: string;
let run: string;
beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "aha-track-"));
  const directory = await openRun(root, "run");
  for (let step = 1; step <= 3; step++) addStep(directory, step);
  await directory.finish(SUMMARY);
  directory.close();
  run = directory.path;
});
afterAll(() => rm(root, { recursive: true, force: true }));

async function track(...args: string[]) {
  const console = recordedConsole();
  const code = await main(["track", ...args], console);
  return { code, stdout: console.stdout(), stderr: console.stderr() };
}

describe("aha track", () => {
  it("sends a run, also a second time, and says where", async () => {
    const logdir = join(root, "tb");
    expect(await track(run, "--to", "tensorboard", "--set", `logdir=${logdir}`)).toMatchObject({
      code: 0,
      stdout: "tensorboard has the run (finished).\n",
    });
    expect(existsSync(join(logdir, "run"))).toBe(true);
    const both = await track(run, "--to", "tensorboard", "--to", "swanlab", "--json");
    expect(
      both.stdout
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line) as object),
    ).toEqual([
      { run, tracker: "tensorboard", state: "finished" },
      { run, tracker: "swanlab", state: "finished" },
    ]);
  });

  it("lists trackers with their keys", async () => {
    expect((await track("--list")).stdout).toMatch(/mlflow {2}an MLflow server\n {2}uri \(string, optional\)/);
    const listed = JSON.parse((await track("--list", "--json")).stdout) as { name: string }[];
    expect(listed.map(({ name }) => name)).toEqual(["tensorboard", "trackio", "swanlab", "mlflow"]);
  });

  it("ends with code 1 where the server does not answer, and says what sends the rest", async () => {
    const { code, stdout, stderr } = await track(run, "--to", "mlflow", "--set", "uri=http://127.0.0.1:1");
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toMatch(
      /^aha: The tracker mlflow has not got all of the run \(.*cannot be reached.*aha track .* sends the rest\.\n$/,
    );
  });

  it("refuses what it cannot do", async () => {
    vi.stubEnv("MLFLOW_TRACKING_URI", "");
    for (const [args, message] of [
      [[run], /--to NAME is required; there are tensorboard, trackio, swanlab, mlflow/],
      [[run, "--to", "tensorbord"], /There is no tracker "tensorbord"; .*Did you mean tensorboard\?/],
      [[run, "--to", "tensorboard", "--set", "logdri=x"], /logdri: unknown key; did you mean "logdir"\?/],
      [[run, "--to", "trackio", "--set", "completions=-1"], /completions/],
      [[run, "--to", "trackio", "--to", "swanlab", "--set", "project=x"], /--set is for one tracker/],
      [[run, "--to", "mlflow"], /no server is named/],
      [[root, "--to", "trackio"], /it is not a run directory/],
      [["--to", "trackio"], /expected RUN/],
    ] as const) {
      const { code, stderr } = await track(...args);
      expect(code).toBe(1);
      expect(stderr).toMatch(message);
    }
    vi.unstubAllEnvs();
  });
});

/**
 * `npm run test:skyrl`: Aha's client on a live SkyRL 0.4 (JAX on the CPU).
 *
 * Steps are compared with the embedded engine's (`compare.ts`). Then the smoke recipe runs on the server end to end, twice in
 * one go, then with its client killed ten times (SKYRL_KILLS), then with the server killed and begun anew (`smoke-runs.ts`). Not
 * part of `npm test`: it needs Python 3.12 and once a package index, 6 GB, and minutes, most of which SkyRL compiles in.
 * SKYRL_URL and SKYRL_MODEL name a server that is there (as the base model and its directory); then it is not begun, ended or
 * killed, and has to compute batches in one shape (`skyrl-server.ts`) for runs to be equal.
 */

import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { diskFolder } from "../../src/disk-folder.ts";
import { Random } from "../../src/random.ts";
import { loadRecipe } from "../../src/recipe/load.ts";
import { writeInitialModel } from "../../src/recipe/model.ts";
import { SMOKE_RECIPE } from "../recipe/smoke.ts";
import { compareWithLocal } from "./compare.ts";
import { SkyrlServer, skyrlPython } from "./skyrl-server.ts";
import { differing, type Ended, killedRuns, runSmokeOn, runUnderRestart, snapshotFiles } from "./smoke-runs.ts";

const KILLS = Number(process.env.SKYRL_KILLS ?? 10);

async function main(): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "aha-skyrl-"));
  let server: SkyrlServer | undefined;
  try {
    const { SKYRL_URL: given, SKYRL_MODEL: givenModel } = process.env;
    const model = givenModel ?? join(directory, "model");
    if (givenModel === undefined) {
      await mkdir(model);
      await writeInitialModel(diskFolder(model), (await loadRecipe(SMOKE_RECIPE, [])).model.init!, 1);
    }
    if (given === undefined) server = await SkyrlServer.start(await skyrlPython(), model, directory);
    const place = { url: given ?? server!.url, model };
    for (const { what, value, most } of await compareWithLocal(place.url, model, directory)) {
      report(value <= most, `${what}: ${value.toExponential(2)} (at most ${most.toExponential(0)})`);
    }
    await runs(place, directory, server);
  } finally {
    await server?.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

async function runs(
  place: { readonly url: string; readonly model: string },
  directory: string,
  server: SkyrlServer | undefined,
): Promise<void> {
  const whole = join(directory, "whole");
  const again = join(directory, "again");
  ended(await runSmokeOn(place, whole), "countdown/smoke came to its end");
  const second = await runSmokeOn(place, again);
  ended(second, "so it did again");
  same(whole, again, "the same run a second time");
  if (server) report(snapshotFiles(server.checkpoints).length === 0, "the runs left no snapshot on the server");
  if (process.exitCode === 1) return;

  const random = new Random(1, "skyrl kills");
  const killed = await killedRuns(place, directory, { kills: KILLS, wholeSeconds: second.seconds, random });
  for (const run of killed) same(whole, run, `a run whose client was killed (${KILLS} times in ${killed.length} runs)`);
  if (!server) return;
  const left = snapshotFiles(server.checkpoints).length;
  report(left <= 3 * KILLS, `killed clients left ${left} snapshots on the server (at most ${3 * KILLS})`);

  const restarted = join(directory, "restarted");
  const afterMs = 1000 * second.seconds * (0.4 + 0.3 * random.uniform());
  const { first, resumed } = await runUnderRestart(place, restarted, server, afterMs);
  if (resumed) {
    report(
      /--resume/.test(first.said),
      `the run on the killed server ended, and said how it goes on: ${first.said.split("\n").at(-1)}`,
    );
    ended(resumed, "it was resumed on the server that was begun anew, and came to its end");
  } else ended(first, "the run went on by itself after the server was killed and begun anew");
  same(whole, restarted, "a run whose server was killed");
}

function ended({ code, said, seconds }: Ended, what: string): void {
  report(code === 0, `${what} (${seconds.toFixed(0)} s)${code === 0 ? "" : `: ${said}`}`);
}

function same(one: string, other: string, what: string): void {
  const files = differing(one, other);
  report(files.length === 0, `${what} left the same${files.length === 0 ? "" : `, but ${files.join("; ")}`}`);
}

function report(isGood: boolean, what: string): void {
  console.log(`${isGood ? "ok  " : "FAIL"} ${what}`);
  if (!isGood) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  console.error(`test:skyrl: ${(error as Error).message}`);
  process.exitCode = 1;
}

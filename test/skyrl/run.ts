/**
 * `npm run test:skyrl`: Aha's client on a live SkyRL 0.4 (JAX on the CPU).
 *
 * Steps are compared with the embedded engine's (`compare.ts`). Then the smoke recipe runs on the server end to end, killed ten
 * times (SKYRL_KILLS) at random moments and resumed each time, with the server killed and begun anew once. Not part of
 * `npm test`: it needs Python 3.12 and once a package index, 6 GB, and minutes, most of which SkyRL compiles in. SKYRL_URL and
 * SKYRL_MODEL name a server that is there (as the base model and its directory); then it is not begun, ended or killed.
 */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { diskFolder } from "../../src/disk-folder.ts";
import { Random } from "../../src/random.ts";
import { loadRecipe } from "../../src/recipe/load.ts";
import { writeInitialModel } from "../../src/recipe/model.ts";
import { SMOKE_RECIPE } from "../recipe/smoke.ts";
import { compareWithLocal } from "./compare.ts";
import { SkyrlServer, skyrlPython } from "./skyrl-server.ts";

const PROGRAM = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));
const KILLS = Number(process.env.SKYRL_KILLS ?? 10);
/** Few steps, and the two keys that the server has no place for. */
const OVERRIDES = [
  ...["stages.cold-start.steps=4", "stages.cold-start.checkpointEvery=1", "stages.cold-start.maxGradNorm=0"],
  ...["stages.r1-zero.iterations=2", "stages.r1-zero.maxGradNorm=0", "evaluation.problems=2"],
];

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
    const url = given ?? server!.url;
    for (const { what, value, most } of await compareWithLocal(url, model, directory)) {
      report(value <= most, `${what}: ${value.toExponential(2)} (at most ${most.toExponential(0)})`);
    }
    await killedRun(url, model, join(directory, "run"), server);
  } finally {
    await server?.stop();
    await rm(directory, { recursive: true, force: true });
  }
}

/** The smoke recipe, killed and resumed until it comes to its end. */
async function killedRun(url: string, model: string, out: string, server: SkyrlServer | undefined): Promise<void> {
  const random = new Random(1, "skyrl kills");
  const set = [
    ...OVERRIDES,
    `model={path: ${JSON.stringify(model)}, lora: {rank: 4, alpha: 32}}`,
    `engine={kind: tinker, url: "${url}", baseModel: ${JSON.stringify(model)}, profile: skyrl, patienceSeconds: 600}`,
  ];
  let killed = 0;
  for (;;) {
    const isThere = existsSync(join(out, "recipe.yaml"));
    const options = ["run", SMOKE_RECIPE, "--out", out, ...set.flatMap((item) => ["--set", item])];
    const child = spawn(process.execPath, [PROGRAM, ...options, ...(isThere ? ["--resume"] : [])], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    child.stderr!.on("data", (bytes: Buffer) => {
      said = (said + bytes.toString()).slice(-1500);
    });
    const timer =
      killed < KILLS ? setTimeout(() => child.kill("SIGKILL"), 5000 + random.uniform() * 25_000) : undefined;
    const [code, signal] = (await once(child, "close")) as [number | null, string | null];
    clearTimeout(timer);
    if (signal === "SIGKILL") {
      killed++;
      console.log(`  killed for the ${killed}. time, metrics ${rows(out, "metrics.jsonl")}`);
      if (server && killed === Math.ceil(KILLS / 2)) {
        await server.stop("SIGKILL");
        await server.begin();
        console.log("  the server was killed and begun anew");
      }
      continue;
    }
    report(code === 0, `countdown/smoke came to its end after ${killed} kills${code === 0 ? "" : `: ${said}`}`);
    break;
  }
  if (process.exitCode === 1) return;
  const steps = metrics(out);
  const sft = steps.filter((row) => row.stage === "cold-start").length;
  report(sft === 4, `every step of SFT is there once: ${sft} of 4`);
  report(existsSync(join(out, "model", "adapter_model.safetensors")), "its adapter came back in PEFT's format");
}

const metrics = (out: string) =>
  readFileSync(join(out, "metrics.jsonl"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { readonly stage: string });

const rows = (out: string, file: string) =>
  existsSync(join(out, file)) ? readFileSync(join(out, file), "utf8").split("\n").length - 1 : 0;

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

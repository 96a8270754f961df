/**
 * `npm run test:tinker-sdk`: the official Tinker SDK, unmodified, and recipes of its cookbook on `aha serve --tinker`.
 *
 * compare.py trains with every loss through the SDK and, with the same adapter, in PyTorch: losses, gradient norms,
 * log-probabilities, also after the step, and what is sampled. cookbook.py runs the cookbook's sl_loop and rl_loop as they
 * are; the loss falls, the reward rises. Not part of `npm test`: it needs Python 3.11 and once a package index. PYTHON names
 * the interpreter whose packages are used. Ends with code 1 where anything differs or is missing.
 */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { initializeParameters } from "../../src/model/initialize.ts";
import { saveModel } from "../../src/model/on-disk.ts";
import { CHECKPOINTS } from "../llama-cpp/checkpoints.ts";
import { pythonWith } from "../python/environment.ts";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const PROGRAM = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

const SDK = {
  torch: "torch",
  transformers: "transformers",
  peft: "peft",
  safetensors: "safetensors",
  tinker: "tinker==0.38.0",
};
const COOKBOOK = "tinker-cookbook==0.6.1";
const COOKBOOK_MODULES = {
  ...{
    datasets: "datasets",
    chz: "chz",
    blobfile: "blobfile",
    cloudpickle: "cloudpickle",
    pyrage: "pyrage",
    rich: "rich",
  },
  ...{ termcolor: "termcolor", tiktoken: "tiktoken", aiohttp: "aiohttp", PIL: "pillow", sympy: "sympy", tqdm: "tqdm" },
  ...{ pylatexenc: "pylatexenc", math_verify: "math-verify" },
  // The cookbook asks for a later one, which the index does not have.
  tml_renderers: "tml-renderers==0.2.1",
  tinker_cookbook: COOKBOOK,
};

/** A name for which the cookbook takes a renderer without special tokens. */
const MODEL_NAME = "Qwen/Qwen3-8B-Base";

try {
  await main();
} catch (error) {
  console.error(`test:tinker-sdk: ${(error as Error).message}`);
  process.exitCode = 1;
}

async function main(): Promise<void> {
  const python = await pythonWith({
    name: "tinker-sdk",
    minor: 11,
    modules: { ...SDK, ...COOKBOOK_MODULES },
    alone: [COOKBOOK, COOKBOOK_MODULES.tml_renderers],
  });
  const directory = await mkdtemp(join(tmpdir(), "aha-tinker-sdk-"));
  let server: ChildProcess | undefined;
  try {
    const model = join(directory, "model");
    await writeModel(model);
    const options = [
      "--port",
      "0",
      "--name",
      MODEL_NAME,
      "--tinker",
      "--tinker-dir",
      join(directory, "kept"),
      "--json",
    ];
    server = spawn(process.execPath, [PROGRAM, "serve", model, ...options], { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = (await once(server.stdout!, "data")) as [Buffer];
    const { tinkerUrl } = JSON.parse(line.toString()) as { tinkerUrl: string };
    const program = async (name: string, ...args: string[]) => {
      const environment = {
        TINKER_API_KEY: "tml-local",
        TINKER_TELEMETRY: "0",
        HF_HUB_OFFLINE: "1",
        OMP_NUM_THREADS: "1",
      };
      const child = spawn(python, ["-W", "ignore", join(HERE, name), tinkerUrl, MODEL_NAME, model, ...args], {
        stdio: "inherit",
        env: { ...process.env, ...environment },
      });
      const [code] = (await once(child, "exit")) as [number | null];
      if (code !== 0) process.exitCode = 1;
    };
    await program("compare.py", join(directory, "kept"));
    await program("cookbook.py", join(directory, "logs"));
  } finally {
    server?.kill();
    await rm(directory, { recursive: true, force: true });
  }
}

async function writeModel(directory: string): Promise<void> {
  await mkdir(directory);
  await cp(fileURLToPath(new URL("../golden/tokenizers/byte-level", import.meta.url)), directory, { recursive: true });
  const { config } = CHECKPOINTS["qwen3, tied"]!;
  const own = { ...config, hiddenSize: 48, headDim: 16, numHeads: 4, numLayers: 2, maxContextTokens: 2048 };
  const init = { scheme: "scaled", gain: 1.5, embeddingStd: 0.3 } as const;
  await saveModel(directory, own, initializeParameters(own, { seed: 5, init }));
}

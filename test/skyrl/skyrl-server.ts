/** A SkyRL server with JAX on the CPU: the Python that has it, and its two processes, begun and ended as one group. */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, existsSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { createServer } from "node:net";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);

/** The version that is asked for. */
export const SKYRL = "skyrl[tinker,jax]==0.4.0";
/** It needs aiohttp and does not ask for it. */
const PACKAGES = [SKYRL, "aiohttp"];
const CACHE = fileURLToPath(new URL("../../node_modules/.cache/skyrl/", import.meta.url));
/** What was compiled once is not compiled again, neither by a server that is begun anew nor by the next run of this test. */
const COMPILED = {
  JAX_COMPILATION_CACHE_DIR: process.env.JAX_COMPILATION_CACHE_DIR ?? join(CACHE, "compiled"),
  JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS: "0",
  JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES: "-1",
};
/** How long the server and its engine may take to begin: they import for a minute on two quiet cores. */
const START_MS = 900_000;
/**
 * Every pass is computed one sequence at a time, and every draw eight at a time: few shapes to compile, and the same bits
 * whatever comes together.
 */
const ONE_SHAPE = { train_micro_batch_size: 1, sample_max_num_sequences: 8 };
/** Places for models, one of which is the base's: clients that are killed leave two or three of them taken for a while. */
const PLACES = 12;
/** After how many seconds of silence a session is ended, and how often the server looks. */
const [SILENT_SECONDS, LOOK_SECONDS] = [60, 10];

export interface SkyrlPython {
  readonly python: string;
  /** Where the program uv is, with which the server starts its engine. */
  readonly uv: string;
}

/**
 * A Python with SkyRL: the one that SKYRL_PYTHON names, or one of a folder in node_modules/.cache that is made now. PYTHON names
 * the interpreter that it is made of.
 *
 * @throws Error that says what is missing and how to get it.
 */
export async function skyrlPython(): Promise<SkyrlPython> {
  const tools = join(CACHE, "tools");
  const named = process.env.SKYRL_PYTHON;
  const given = process.env.PYTHON ?? "python3.12";
  const version = await run(given, ["-c", "import sys; print(sys.version_info[1])"]).catch(() => undefined);
  if (version === undefined || Number(version.stdout) < 12) {
    throw new Error(`SkyRL needs Python 3.12 or later, and ${given} is none: install it, or name one (PYTHON=…)`);
  }
  const bin = (folder: string, name: string) =>
    process.platform === "win32" ? join(folder, "Scripts", `${name}.exe`) : join(folder, "bin", name);
  const uv = bin(tools, "uv");
  if (!existsSync(uv)) {
    await mkdir(CACHE, { recursive: true });
    await install(given, ["-m", "venv", tools], "make a virtual environment");
    await install(bin(tools, "python"), ["-m", "pip", "install", "--quiet", "uv"], "install uv");
  }
  const python = named ?? bin(join(CACHE, "python"), "python");
  if (!existsSync(python)) {
    if (named !== undefined) throw new Error(`SKYRL_PYTHON names ${named}, which is not there`);
    console.log(`installing ${PACKAGES.join(" and ")} into ${CACHE}: 6 GB, about a minute where the index is near`);
    await install(uv, ["venv", "--quiet", "-p", given, join(CACHE, "python")], "make a virtual environment");
    await install(uv, ["pip", "install", "--quiet", "-p", python, ...PACKAGES], `install ${PACKAGES.join(" and ")}`);
  }
  const has = await run(python, ["-c", "import importlib.metadata as m; print(m.version('skyrl'))"]).catch(
    () => undefined,
  );
  if (has === undefined)
    throw new Error(`${python} has no SkyRL: uv pip install -p ${python} '${PACKAGES.join("' '")}'`);
  return { python, uv };
}

async function install(program: string, args: readonly string[], what: string): Promise<void> {
  await run(program, args, { maxBuffer: 2 ** 26 }).catch((error: { stderr?: string; message: string }) => {
    throw new Error(
      `cannot ${what} (${program} ${args.join(" ")}): ${(error.stderr || error.message).trim().slice(-600)}`,
    );
  });
}

interface ServerParts extends SkyrlPython {
  readonly model: string;
  readonly directory: string;
  readonly port: number;
}

/** A server on a model, with its database and checkpoints in `directory`. */
export class SkyrlServer {
  readonly url: string;
  /** Where it keeps checkpoints. */
  readonly checkpoints: string;
  readonly #parts: ServerParts;
  #child: ChildProcess | undefined;

  private constructor(url: string, parts: ServerParts) {
    this.url = url;
    this.checkpoints = join(parts.directory, "kept");
    this.#parts = parts;
  }

  /** Begins one. Throws Error with the end of its log where it does not come up. */
  static async start(python: SkyrlPython, model: string, directory: string): Promise<SkyrlServer> {
    const port = await freePort();
    const server = new SkyrlServer(`http://127.0.0.1:${port}`, { ...python, model, directory, port });
    await server.begin();
    return server;
  }

  async begin(): Promise<void> {
    const { python, uv, model, directory, port } = this.#parts;
    const options = [
      ...["--host", "127.0.0.1", "--port", `${port}`, "--base-model", model, "--backend", "jax"],
      ...["--backend-config", JSON.stringify({ max_lora_adapters: PLACES, max_lora_rank: 8, ...ONE_SHAPE })],
      ...["--database-url", `sqlite:///${join(directory, "skyrl.db")}`, "--checkpoints-base", this.checkpoints],
      ...["--session-timeout-sec", `${SILENT_SECONDS}`, "--session-cleanup-interval-sec", `${LOOK_SECONDS}`],
    ];
    // The server looks at the command line of uv, and starts its engine with the same flags.
    const flags = ["run", "--no-project", "--python", python, "-m", "skyrl.tinker.api", ...options];
    const path = `${dirname(uv)}${delimiter}${process.env.PATH}`;
    const child = spawn(uv, flags, {
      ...{ cwd: directory, detached: true, stdio: ["ignore", "pipe", "pipe"] },
      env: { ...process.env, PATH: path, JAX_PLATFORMS: "cpu", HF_HUB_OFFLINE: "1", ...COMPILED },
    });
    const log = createWriteStream(join(directory, "skyrl.log"), { flags: "a" });
    let tail = "";
    for (const stream of [child.stdout!, child.stderr!]) {
      stream.on("data", (bytes: Buffer) => {
        log.write(bytes);
        tail = (tail + bytes.toString()).slice(-2000);
      });
    }
    this.#child = child;
    for (const until = Date.now() + START_MS; ; ) {
      if (child.exitCode !== null || Date.now() > until) throw new Error(`SkyRL did not come up: ${tail}`);
      const healthy = await fetch(`${this.url}/api/v1/healthz`).then(
        ({ ok }) => ok,
        () => false,
      );
      if (healthy) return;
      await new Promise((resolve) => setTimeout(resolve, 500));
    }
  }

  /** Ends both processes. */
  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const child = this.#child;
    this.#child = undefined;
    if (child?.pid === undefined || child.exitCode !== null) return;
    const ended = once(child, "exit");
    process.kill(-child.pid, signal);
    await ended;
    await new Promise((resolve) => setTimeout(resolve, 2000));
    // What of the group did not listen.
    try {
      process.kill(-child.pid, "SIGKILL");
    } catch {
      // It is gone.
    }
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}

/**
 * Many clients at once on `aha serve`, hostile ones among them, and what an honest client sees meanwhile.
 *
 * First the stream of one client alone: the median time between two tokens is a decoding step. Then `clients` of them for
 * `seconds`, each of which sends one request after another: short and long prompts, streamed and whole, scored texts,
 * and what nobody should send: texts of millions of letters, JSON without end, bodies that are cut off, readers that do
 * not read. Every answer has to be one of those that such a request may get; a 429 counts as one. At the end the server
 * has to be idle, and to end with code 0.
 */

import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { AhaError } from "../src/errors.ts";
import { Random } from "../src/random.ts";
import { median } from "./measure.ts";
import type { BenchOptions, Figures } from "./options.ts";

const PROGRAM = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const PROBE = fileURLToPath(new URL("./soak-probe.ts", import.meta.url));
const MODEL = "soaked";
const ALONE_SECONDS = 5;

interface Probe {
  readonly gaps: number[];
  readonly health: number[];
  readonly failures: readonly string[];
}

/** What became of the requests of all clients. */
interface Tally {
  requests: number;
  hostile: number;
  refused: number;
  readonly errors: string[];
}

export async function benchSoak(options: BenchOptions): Promise<Figures> {
  if (options.clients < 1 || options.seconds < 1) throw new AhaError("soak needs at least one client and one second");
  const args = ["serve", options.model, "--port", "0", "--name", MODEL, "--threads", String(options.threads), "--json"];
  const server = spawn(process.execPath, [PROGRAM, ...args], { stdio: ["ignore", "pipe", "inherit"] });
  try {
    const [line] = (await once(server.stdout!, "data")) as [Buffer];
    const { url } = JSON.parse(line.toString()) as { url: string };
    const context = await contextOf(url);
    const alone = await probe(url, ALONE_SECONDS);
    const tally: Tally = { requests: 0, hostile: 0, refused: 0, errors: [] };
    const end = performance.now() + options.seconds * 1000;
    const clients = Array.from({ length: options.clients }, (_, i) =>
      client({ url, context, random: new Random(options.seed, `soak/${i}`) }, end, tally),
    );
    const [seen] = await Promise.all([probe(url, options.seconds), ...clients]);
    tally.errors.push(...alone.failures, ...seen.failures, ...(await afterwards(url, server)));
    for (const error of [...new Set(tally.errors)].slice(0, 20)) console.error(`soak: ${error}`);
    const step = median(alone.gaps);
    return {
      bench: "soak",
      clients: options.clients,
      seconds: options.seconds,
      requests: tally.requests,
      hostile: tally.hostile,
      refused_429: tally.refused,
      errors: tally.errors.length,
      step_alone_ms: step,
      gap_median_ms: median(seen.gaps),
      gap_p99_ms: quantile(seen.gaps, 0.99),
      gap_worst_ms: Math.max(...seen.gaps),
      gap_worst_in_steps: Math.max(...seen.gaps) / step,
      health_median_ms: median(seen.health),
      health_worst_ms: Math.max(...seen.health),
    };
  } finally {
    server.kill("SIGKILL");
  }
}

async function contextOf(url: string): Promise<number> {
  const { data } = (await (await fetch(`${url}/v1/models`)).json()) as { data: { max_model_len: number }[] };
  return data[0]!.max_model_len;
}

async function probe(url: string, seconds: number): Promise<Probe> {
  const args = ["--import", "tsx", PROBE, url, MODEL, String(seconds)];
  const { stdout } = await promisify(execFile)(process.execPath, args, { maxBuffer: 2 ** 28 });
  return JSON.parse(stdout) as Probe;
}

/** What is left when all clients have gone. */
async function afterwards(url: string, server: ChildProcess): Promise<string[]> {
  const errors: string[] = [];
  let load = { active: 1, waiting: 1 };
  for (let i = 0; i < 600 && load.active + load.waiting > 0; i++) {
    await sleep(100);
    load = (await (await fetch(`${url}/health`)).json()) as typeof load;
  }
  if (load.active + load.waiting > 0) errors.push(`a minute later ${JSON.stringify(load)} was still there`);
  server.kill("SIGTERM");
  const [code] = (await once(server, "exit")) as [number | null];
  if (code !== 0) errors.push(`the server ended with code ${code}`);
  return errors;
}

/** A client's surroundings. */
interface Surroundings {
  readonly url: string;
  /** Tokens of the model's context. */
  readonly context: number;
  readonly random: Random;
}

async function client(surroundings: Surroundings, end: number, tally: Tally): Promise<void> {
  const { random } = surroundings;
  while (performance.now() < end) {
    const isHostile = random.integer(3) === 0;
    const kinds = isHostile ? HOSTILE : HONEST;
    const kind = random.choice(Object.keys(kinds));
    tally.requests++;
    if (isHostile) tally.hostile++;
    try {
      const { status, expected } = await kinds[kind]!(surroundings);
      if (status === 429) {
        tally.refused++;
        await sleep(50 + random.integer(100));
      } else if (!expected.includes(status))
        tally.errors.push(`${kind}: ${status} instead of ${expected.join(" or ")}`);
    } catch (error) {
      tally.errors.push(`${kind}: ${String(error)} ${error instanceof Error ? String(error.cause ?? "") : ""}`);
    }
  }
}

/** What came, and what may come, but for 429. */
interface Outcome {
  readonly status: number;
  readonly expected: readonly number[];
}
type Kind = (surroundings: Surroundings) => Promise<Outcome>;

/** Of a client that did not wait for an answer. */
const GONE = 0;

const CHAT = "/v1/chat/completions";
const COMPLETIONS = "/v1/completions";

const words = (random: Random, length: number) =>
  Array.from({ length }, () => "abcdefghij klmnop qrstu. "[random.integer(25)]!).join("");

async function post(url: string, body: unknown, init: RequestInit = {}): Promise<Response> {
  return fetch(url, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: typeof body === "string" ? body : JSON.stringify(body),
    ...init,
  });
}

/** Posts, reads all of the answer, and throws where a good one is not whole. */
async function asked(url: string, body: object, expected: readonly number[]): Promise<Outcome> {
  const response = await post(url, body);
  const text = await response.text();
  if (response.status === 200) {
    if ("stream" in body && body.stream) {
      if (!text.trimEnd().endsWith("[DONE]")) throw new Error(`a stream ended with ${text.slice(-200)}`);
    } else JSON.parse(text);
  }
  return { status: response.status, expected };
}

const HONEST: Readonly<Record<string, Kind>> = {
  "a chat": ({ url, random }) => {
    const messages = [{ role: "user", content: words(random, 10 + random.integer(60)) }];
    const stream = random.integer(2) === 0;
    return asked(url + CHAT, { model: MODEL, messages, max_tokens: 1 + random.integer(60), stream }, [200]);
  },
  "a long prompt": ({ url, context, random }) => {
    const prompt = words(random, Math.floor(context * (0.5 + 0.4 * random.uniform())));
    const stream = random.integer(2) === 0;
    return asked(url + COMPLETIONS, { model: MODEL, prompt, max_tokens: 1 + random.integer(20), stream }, [200]);
  },
  "scored texts": ({ url, random }) => {
    const prompt = Array.from({ length: 1 + random.integer(6) }, () => words(random, 20 + random.integer(200)));
    const scoring = { echo: true, logprobs: 1 + random.integer(5), max_tokens: random.integer(2) };
    return asked(url + COMPLETIONS, { model: MODEL, prompt, ...scoring }, [200]);
  },
  "penalties and biases": ({ url, random }) => {
    const penalties = { frequency_penalty: 1, presence_penalty: 0.5, repetition_penalty: 1.2, min_p: 0.05 };
    const body = { model: MODEL, prompt: words(random, 30), max_tokens: 40, logit_bias: { 5: 3 }, ...penalties };
    return asked(url + COMPLETIONS, body, [200]);
  },
  "a text to tokenize": ({ url, random }) =>
    asked(`${url}/tokenize`, { prompt: words(random, 10 + random.integer(3000)) }, [200]),
};

const HOSTILE: Readonly<Record<string, Kind>> = {
  "1.9 million letters": ({ url, random }) => {
    const prompt = "abcdefghij".repeat(190_000);
    const body = random.integer(2) === 0 ? { prompt } : { messages: [{ role: "user", content: prompt }] };
    return asked(url + ("prompt" in body ? COMPLETIONS : CHAT), { model: MODEL, ...body }, [400]);
  },
  "a million spaces": ({ url }) =>
    asked(url + COMPLETIONS, { model: MODEL, prompt: " ".repeat(1_000_000) }, [400, 504]),
  "a million numbers": ({ url }) =>
    asked(url + COMPLETIONS, { model: MODEL, prompt: Array.from({ length: 900_000 }, () => 5) }, [400]),
  "many messages": ({ url }) => {
    const messages = Array.from({ length: 40_000 }, () => ({ role: "user", content: "" }));
    return asked(url + CHAT, { model: MODEL, messages }, [400]);
  },
  "brackets without end": async ({ url }) => {
    const response = await post(url + CHAT, "[".repeat(1_000_000));
    await response.text();
    return { status: response.status, expected: [400] };
  },
  "a body beyond the limit": async ({ url }) => {
    // The server may answer and close before all of it was sent.
    const response = await post(url + CHAT, "x".repeat(4_000_000)).catch(() => undefined);
    await response?.text().catch(() => "");
    return { status: response?.status ?? GONE, expected: [413, GONE] };
  },
  "no JSON": async ({ url }) => {
    const response = await post(url + CHAT, "{{{");
    await response.text();
    return { status: response.status, expected: [400] };
  },
  "parameters that there are not": ({ url }) =>
    asked(url + CHAT, { model: MODEL, messages: [{ role: "user", content: "x" }], tools: [{}] }, [400]),
  "a client that goes away": async ({ url, random }) => {
    const controller = new AbortController();
    const body = { model: MODEL, prompt: words(random, 20), max_tokens: 300, n: 2, stream: true, ignore_eos: true };
    const response = await post(url + COMPLETIONS, body, { signal: controller.signal });
    if (response.status !== 200) return { status: response.status, expected: [200] };
    await response.body!.getReader().read();
    controller.abort();
    return { status: GONE, expected: [GONE] };
  },
  "a body that is cut off": async ({ url }) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    socket.on("error", () => {});
    const head = "content-type: application/json\r\ncontent-length: 100000";
    socket.write(`POST ${CHAT} HTTP/1.1\r\nhost: localhost\r\n${head}\r\n\r\n{"model": `);
    await sleep(100);
    socket.destroy();
    return { status: GONE, expected: [GONE] };
  },
  "a reader that does not read": async ({ url, random }) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    socket.on("error", () => {});
    socket.pause();
    const body = JSON.stringify({ model: MODEL, prompt: words(random, 9), max_tokens: 200, logprobs: 5, stream: true });
    const head = `content-type: application/json\r\ncontent-length: ${body.length}`;
    socket.write(`POST ${COMPLETIONS} HTTP/1.1\r\nhost: localhost\r\n${head}\r\n\r\n${body}`);
    await sleep(1000);
    socket.destroy();
    return { status: GONE, expected: [GONE] };
  },
};

function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}

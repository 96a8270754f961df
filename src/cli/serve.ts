/**
 * `aha serve`: OpenAI's API for a model on this machine. What it does for a request is `serve/`; here are the options,
 * where the API key comes from, and the words for the person who started it.
 */

import { basename, resolve } from "node:path";
import { openEngine } from "../engine/open.ts";
import { ConfigError } from "../errors.ts";
import { hubReferenceOf } from "../hub/resolve.ts";
import { isLoopback } from "../serve/access.ts";
import type { RequestRecord } from "../serve/metrics.ts";
import { serveEngine } from "../serve/served-model.ts";
import { ApiServer } from "../serve/server.ts";
import { loadTokenizer } from "../tokenizer/huggingface.ts";
import type { Command, CommandContext } from "./command.ts";
import { ADAPTER_HELP, ADAPTER_OPTION, openPolicy } from "./model-with-adapter.ts";
import { computeOption, numberOption, parseOptions, wholeNumberOption } from "./parse-options.ts";

const DEFAULT_KEY_VARIABLE = "AHA_API_KEY";
const MIB = 2 ** 20;

const HELP = `Usage: aha serve DIR [options]

Serves the model in DIR (a model directory, the directory of a run, or ORG/NAME[@REVISION] on the Hub) under OpenAI's
API: /v1/models, /v1/chat/completions and /v1/completions, whole or streamed, all clients in one batch; /health and
/metrics (Prometheus). Text within <think> … </think> comes as reasoning_content, apart from content. Ctrl-C lets what runs
finish, a second one ends at once.

Options
  --host ADDRESS         where to listen (127.0.0.1: this machine only)
  --port N               port (8000); 0 takes any that is free
  --name NAME            what requests call the model (the directory's name, or that on the Hub)
  --api-key-env NAME     environment variable that has the key which requests must bring (${DEFAULT_KEY_VARIABLE}, where it is set)
  --slots N              most sequences decoded at once (64)
  --queue N              most sequences that wait; further requests get 429 (256)
  --cache-mib N          memory for keys and values of running sequences (1024)
  --max-tokens N         longest chat answer where a request names no limit (4096, or what the context leaves)
  --max-body-mib N       largest request (2); larger ones get 413
  --timeout SECONDS      most time of a request, waiting included (600)
  --grace SECONDS        how long running requests may go on after Ctrl-C (10)
  --cors-origin ORIGIN   let web pages of this origin ask (none); * lets all
  ${ADAPTER_HELP}
  --threads N            threads to compute with (one per processor, at most 8)
  --log                  a line on standard error for every request; never its text
  --json                 say where it listens in one JSON line {"url", "model", …}

Example
  aha serve runs/countdown-tiny-1 --port 8000
  curl http://127.0.0.1:8000/v1/completions -H 'Content-Type: application/json' \\
    -d '{"model": "countdown-tiny-1", "prompt": "Using the numbers [6, 3, 3], create an equation that equals 54.\\n<think>", "max_tokens": 200}'
`;

const OPTIONS = {
  host: { type: "string", default: "127.0.0.1" },
  port: { type: "string", default: "8000" },
  name: { type: "string" },
  "api-key-env": { type: "string" },
  slots: { type: "string", default: "64" },
  queue: { type: "string", default: "256" },
  "cache-mib": { type: "string", default: "1024" },
  "max-tokens": { type: "string", default: "4096" },
  "max-body-mib": { type: "string", default: "2" },
  timeout: { type: "string", default: "600" },
  grace: { type: "string", default: "10" },
  "cors-origin": { type: "string" },
  ...ADAPTER_OPTION,
  threads: { type: "string" },
  log: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>["values"];

/** `aha serve`. */
export const command: Command = {
  help: HELP,
  run: async (args, context) => {
    const { values, positionals } = parseOptions("serve", args, OPTIONS, ["DIR"]);
    const limits = limitsOf(values);
    const apiKey = apiKeyFrom(values["api-key-env"], process.env);
    const { modelDirectory, tokenizerDirectory, adapter } = await openPolicy(positionals[0]!, values.adapter, context);
    const id = values.name ?? hubReferenceOf(positionals[0]!, "model")?.name ?? basename(resolve(positionals[0]!));
    const tokenizer = await loadTokenizer(tokenizerDirectory);
    const { maxSlots, cacheMib, defaultMaxTokens } = limits;
    const source = { path: modelDirectory, ...adapter };
    const engine = await openEngine({ kind: "local", maxSlots, cacheMib }, source, computeOption(values.threads));
    try {
      const model = serveEngine(engine, tokenizer, { id, defaultMaxTokens });
      const server = await ApiServer.listen(model, {
        host: values.host,
        port: limits.port,
        apiKey,
        corsOrigin: values["cors-origin"],
        maxBodyBytes: limits.maxBodyBytes,
        maxSequences: limits.maxSlots + limits.maxWaiting,
        requestTimeoutMs: limits.requestTimeoutMs,
        ...(values.log && { onRequest: (record) => context.note(logLine(record)) }),
        onDefect: (error) => context.note(`aha serve: ${error instanceof Error ? error.stack : String(error)}\n`),
      });
      announce(context, values, { url: server.url, id, engine: engine.info.name, hasKey: apiKey !== undefined });
      await interrupted(context.signal);
      if (!values.json) context.note(`Stopping; running requests have ${limits.graceMs / 1000} s to finish.\n`);
      await server.close(limits.graceMs);
      await model.session.close();
      return 0;
    } finally {
      await engine.dispose();
    }
  },
};

function limitsOf(values: Values) {
  const whole = (option: "slots" | "queue" | "cache-mib" | "max-tokens", least: number) =>
    wholeNumberOption(option, values[option], least);
  const seconds = (option: "timeout" | "grace", least: number) =>
    numberOption(
      option,
      values[option],
      (value) => value >= least && value <= 86_400,
      `from ${least} to 86400 seconds`,
    );
  return {
    port: numberOption("port", values.port, isPort, "a whole number from 0 to 65535"),
    maxSlots: whole("slots", 1),
    maxWaiting: whole("queue", 0),
    cacheMib: whole("cache-mib", 1),
    defaultMaxTokens: whole("max-tokens", 1),
    maxBodyBytes: Math.floor(
      numberOption("max-body-mib", values["max-body-mib"], isBodySize, "above 0 and at most 256") * MIB,
    ),
    requestTimeoutMs: seconds("timeout", 0.001) * 1000,
    graceMs: seconds("grace", 0) * 1000,
  };
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 65_535;
}

function isBodySize(value: number): boolean {
  return value > 0 && value <= 256;
}

/**
 * The key from the variable that was named, else from AHA_API_KEY where that is set.
 *
 * @throws ConfigError where the named variable has none, or a key cannot be sent in a header. The key is in no message.
 */
export function apiKeyFrom(variable: string | undefined, environment: NodeJS.ProcessEnv): string | undefined {
  const name = variable ?? DEFAULT_KEY_VARIABLE;
  const key = environment[name];
  if (key === undefined || key === "") {
    if (variable === undefined) return undefined;
    throw new ConfigError(`--api-key-env: the environment variable ${name} is ${key === "" ? "empty" : "not set"}.`);
  }
  if (/^[\x21-\x7e]+$/.test(key)) return key;
  throw new ConfigError(
    `The API key in ${name} has characters that no header can carry: use printable ASCII, no spaces.`,
  );
}

function announce(
  context: CommandContext,
  { json, host }: Values,
  { url, id, engine, hasKey }: { url: string; id: string; engine: string; hasKey: boolean },
): void {
  const apiUrl = `${url}/v1`;
  if (json) context.out(`${JSON.stringify({ url, apiUrl, model: id, engine, apiKey: hasKey, pid: process.pid })}\n`);
  else context.out(`Serving ${id} at ${url} (base URL for OpenAI's clients: ${apiUrl}). Ctrl-C stops.\n`);
  if (isLoopback(host) || hasKey) return;
  context.note(`Anybody who can reach ${host} can use this server: set ${DEFAULT_KEY_VARIABLE} to ask for a key.\n`);
}

function logLine({ endpoint, status, seconds, promptTokens, completionTokens }: RequestRecord): string {
  const time = new Date().toISOString().slice(11, 19);
  return `${time} ${endpoint} ${status} ${seconds.toFixed(2)} s, ${promptTokens} + ${completionTokens} tokens\n`;
}

function interrupted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

/**
 * `aha serve`: OpenAI's API for a model on this machine. What it does for a request is `serve/`; here are the options,
 * where the API key comes from, and the words for the person who started it.
 */

import { basename, resolve } from "node:path";
import type { Compute } from "../compute/compute.ts";
import type { Policy } from "../engine/contract/policy.ts";
import type { EngineSpec, SharedBase } from "../engine/engine-kind.ts";
import { openEngine, openSharedBase, openSharedEngines } from "../engine/open.ts";
import { ConfigError } from "../errors.ts";
import { hubReferenceOf } from "../hub/resolve.ts";
import { isLoopback } from "../serve/access.ts";
import type { RequestRecord } from "../serve/metrics.ts";
import { describeDefaults, type GenerationDefaults } from "../serve/sampling-defaults.ts";
import { serveEngine } from "../serve/served-model.ts";
import { ApiServer } from "../serve/server.ts";
import type { HuggingFaceTokenizer } from "../tokenizer/huggingface.ts";
import { loadTokenizer } from "../tokenizer/on-disk.ts";
import type { Command, CommandContext } from "./command.ts";
import { localEngineOption } from "./engine-option.ts";
import { GENERATION_CONFIG_HELP, GENERATION_CONFIG_OPTION, generationDefaults } from "./generation-config.ts";
import {
  ADAPTER_HELP,
  type FoundPolicy,
  type NamedAdapter,
  namedAdapters,
  openAdapter,
  openPolicy,
  tokenizerDirectoryOf,
} from "./model-with-adapter.ts";
import {
  COMPUTE_HELP,
  COMPUTE_OPTIONS,
  computeOption,
  numberOption,
  parseOptions,
  wholeNumberOption,
} from "./parse-options.ts";
import {
  DEFAULT_TINKER_DIRECTORY,
  keyAdvice,
  TINKER_LIMIT_OPTIONS,
  TINKER_LIMITS_HELP,
  type TinkerLimitOption,
  takeOverNote,
  tinkerLimitsOf,
  tinkerRoutes,
} from "./serve-tinker.ts";

const DEFAULT_KEY_VARIABLE = "AHA_API_KEY";
const MIB = 2 ** 20;

const HELP = `Usage: aha serve DIR [options]

Serves the model in DIR (a model directory, the directory of a run, or ORG/NAME[@REVISION] on the Hub) under OpenAI's
API: /v1/models, /v1/chat/completions and /v1/completions, whole or streamed, all clients in one batch; /tokenize,
/detokenize; /health and /metrics (Prometheus). Text within <think> … </think> comes as reasoning_content, apart from
content. Where a request says nothing, the model's generation_config.json says how it is sampled. Ctrl-C lets what runs
finish, a second one ends at once.

Options
  --host ADDRESS         where to listen (127.0.0.1: this machine only)
  --port N               port (8000); 0 takes any that is free
  --name NAME            what requests call the model (the directory's name, or that on the Hub)
  --api-key-env NAME     environment variable that has the key which requests must bring (${DEFAULT_KEY_VARIABLE}, where it is set)
  --slots N              most sequences decoded at once (64; with --tinker 256)
  --queue N              most sequences that wait; further requests get 429 (256)
  --cache-mib N          memory for keys and values of running sequences (1024)
  --max-tokens N         longest chat answer where a request names no limit (max_new_tokens of generation_config.json, else
                         4096, or what the context leaves)
  ${GENERATION_CONFIG_HELP}
  --max-body-mib N       largest request (2); larger ones get 413
  --timeout SECONDS      most time of a request, waiting included (600)
  --grace SECONDS        how long running requests may go on after Ctrl-C (10)
  --cors-origin ORIGIN   let web pages of this origin ask (none); * lets all
  ${ADAPTER_HELP}
  --adapter NAME=DIR     serve this adapter beside the model, under NAME; several share the model's weights, and the memory
                         for keys and values in equal parts
  --tinker               speak the Tinker protocol, too (/api/v1): clients train adapters of the model and sample from them;
                         docs/scale-out.md
  --tinker-dir PATH      where their checkpoints are kept, and what a server after this one goes on with:
                         sessions, models, requests (${DEFAULT_TINKER_DIRECTORY})
  ${TINKER_LIMITS_HELP}
  ${COMPUTE_HELP}
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
  slots: { type: "string" },
  queue: { type: "string", default: "256" },
  "cache-mib": { type: "string", default: "1024" },
  "max-tokens": { type: "string" },
  ...GENERATION_CONFIG_OPTION,
  "max-body-mib": { type: "string", default: "2" },
  timeout: { type: "string", default: "600" },
  grace: { type: "string", default: "10" },
  "cors-origin": { type: "string" },
  adapter: { type: "string", multiple: true },
  tinker: { type: "boolean", default: false },
  "tinker-dir": { type: "string" },
  ...TINKER_LIMIT_OPTIONS,
  ...COMPUTE_OPTIONS,
  log: { type: "boolean", default: false },
  json: { type: "boolean", default: false },
} as const;

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>["values"];

/** `aha serve`. */
export const serveCommand: Command = {
  help: HELP,
  syntax: { options: OPTIONS, arguments: ["model"] },
  run: async (args, context) => {
    const { values, positionals } = parseOptions("serve", args, OPTIONS, ["DIR"]);
    const limits = limitsOf(values);
    const apiKey = apiKeyFrom(values["api-key-env"], process.env);
    const { alone, named } = namedAdapters(values.adapter ?? []);
    const opened = await openPolicy(positionals[0]!, alone, context);
    if (named.length > 0 && opened.adapter.adapter !== undefined) {
      throw new ConfigError(
        `${positionals[0]} is an adapter itself: give its base as DIR, and it as --adapter NAME=DIR.`,
      );
    }
    const id = values.name ?? hubReferenceOf(positionals[0]!, "model")?.name ?? basename(resolve(positionals[0]!));
    const defaults = await generationDefaults(opened.modelDirectory, values);
    for (const option of ["tinker-dir", ...(Object.keys(TINKER_LIMIT_OPTIONS) as TinkerLimitOption[])] as const) {
      if (values[option] === undefined || values.tinker) continue;
      throw new ConfigError(`--${option} is about the server that --tinker makes: give --tinker, too.`);
    }
    const tinkerLimits = tinkerLimitsOf(values);
    const [compute, engine] = [computeOption(values), localEngineOption(values)];
    const memory = { maxSlots: limits.maxSlots, cacheMib: limits.cacheMib };
    const { engines, base } = values.tinker
      ? await openOverBase(opened, { id, named }, { ...engine, ...memory }, compute, context)
      : {
          engines: await openEngines(opened, { id, named }, { ...engine, ...memory }, compute, context),
          base: undefined,
        };
    try {
      const { maxTokens = DEFAULT_MAX_TOKENS, ...sampling } = defaults;
      const options = { defaultMaxTokens: limits.defaultMaxTokens ?? maxTokens, defaults: sampling };
      const models = engines.map(({ engine, tokenizer, ...name }) =>
        serveEngine(engine, tokenizer, { ...name, ...options }),
      );
      const onDefect = (error: unknown) =>
        context.note(`aha serve: ${error instanceof Error ? error.stack : String(error)}\n`);
      const [{ engine, tokenizer }] = engines as [OpenedModel];
      const directory = values["tinker-dir"] ?? DEFAULT_TINKER_DIRECTORY;
      const parts = {
        limits: tinkerLimits,
        engine,
        tokenizer,
        tokenizerDirectory: opened.tokenizerDirectory,
        modelPath: opened.modelDirectory,
        directory,
        apiKey,
        onDefect,
      };
      const opening = base && (await tinkerRoutes({ name: id, base, ...parts }));
      const tinker = opening?.routes;
      const server = await ApiServer.listen(models, {
        mounted: tinker,
        host: values.host,
        port: limits.port,
        apiKey,
        corsOrigin: values["cors-origin"],
        maxBodyBytes: limits.maxBodyBytes,
        maxSequences: limits.maxSlots + limits.maxWaiting,
        requestTimeoutMs: limits.requestTimeoutMs,
        ...(values.log && { onRequest: (record) => context.note(logLine(record)) }),
        onDefect,
      });
      announce(context, values, {
        url: server.url,
        ids: models.map((model) => model.id) as [string, ...string[]],
        engine: engines[0]!.engine.info.name,
        hasKey: apiKey !== undefined,
        defaults,
        tinkerUrl: tinker && server.url,
      });
      for (const said of [opening && takeOverNote(opening.takenOver), tinker && keyAdvice(apiKey)]) {
        if (said !== undefined) context.note(said);
      }
      await interrupted(context.signal);
      if (!values.json) context.note(`Stopping; running requests have ${limits.graceMs / 1000} s to finish.\n`);
      // Side by side: weights that OpenAI's routes are generating with stay open as long as these have time.
      await Promise.all([tinker?.close(), server.close(limits.graceMs)]);
      for (const { session } of models) await session.close();
      return 0;
    } finally {
      for (const { engine } of engines) await engine.dispose();
    }
  },
};

/** Longest chat answer where neither the request nor anything else says. */
const DEFAULT_MAX_TOKENS = 4096;

/** A model or adapter that is going to be served. */
interface OpenedModel {
  readonly id: string;
  readonly parent?: string;
  readonly engine: Policy;
  readonly tokenizer: HuggingFaceTokenizer;
}

/** What is served: the model by its name, and adapters of it by theirs. */
interface ServedNames {
  readonly id: string;
  readonly named: readonly NamedAdapter[];
}

/** The model, and each named adapter of it, with their tokenizers. */
async function openEngines(
  found: FoundPolicy,
  names: ServedNames,
  engine: EngineSpec & { readonly cacheMib: number },
  compute: Compute,
  context: CommandContext,
): Promise<OpenedModel[]> {
  const { id, named } = names;
  const { tokenizer, adapters } = await findServed(found, names, context);
  const path = found.modelDirectory;
  const spec = { ...engine, cacheMib: Math.max(1, Math.floor(engine.cacheMib / (1 + named.length))) };
  if (adapters.length === 0) {
    return [{ id, engine: await openEngine(spec, { path, ...found.adapter }, compute), tokenizer }];
  }
  const directories = [undefined, ...adapters.map(({ directory }) => directory)];
  const [first, ...others] = await openSharedEngines(spec, { path, adapters: directories }, compute);
  return [
    { id, engine: first!, tokenizer },
    ...adapters.map((one, i) => ({ id: one.id, parent: id, engine: others[i]!, tokenizer: one.tokenizer })),
  ];
}

/** The same over a base that further adapters are opened over later. */
async function openOverBase(
  found: FoundPolicy,
  names: ServedNames,
  engine: EngineSpec & { readonly cacheMib: number },
  compute: Compute,
  context: CommandContext,
): Promise<{ readonly engines: OpenedModel[]; readonly base: SharedBase }> {
  if (found.adapter.adapter !== undefined) {
    throw new ConfigError(
      "With --tinker clients train adapters of a model: give the model as DIR, not an adapter of it.",
    );
  }
  const { id } = names;
  const { tokenizer, adapters } = await findServed(found, names, context);
  const base = await openSharedBase(engine, { path: found.modelDirectory }, compute);
  const engines: OpenedModel[] = [{ id, engine: await base.open({}), tokenizer }];
  for (const { id: name, directory, tokenizer: own } of adapters) {
    engines.push({ id: name, parent: id, engine: await base.open({ adapter: directory }), tokenizer: own });
  }
  return { engines, base };
}

/** The model's tokenizer; the directory and tokenizer of each adapter, which are the model's where it brings none. */
async function findServed(
  { modelDirectory, tokenizerDirectory }: FoundPolicy,
  { id, named }: ServedNames,
  context: CommandContext,
) {
  const clash = named.find(({ name }) => name === id);
  if (clash) throw new ConfigError(`--adapter: ${clash.name} is the model's own name; give one of them another.`);
  const tokenizer = await loadTokenizer(tokenizerDirectory);
  const adapters: (Pick<OpenedModel, "id" | "tokenizer"> & { readonly directory: string })[] = [];
  for (const { name, text } of named) {
    const directory = await openAdapter(text, context);
    const own = tokenizerDirectoryOf(modelDirectory, directory);
    adapters.push({ id: name, directory, tokenizer: own === modelDirectory ? tokenizer : await loadTokenizer(own) });
  }
  return { tokenizer, adapters };
}

function limitsOf(values: Values) {
  const whole = (option: "queue" | "cache-mib", least: number) => wholeNumberOption(option, values[option], least);
  const seconds = (option: "timeout" | "grace", least: number) =>
    numberOption(
      option,
      values[option],
      (value) => value >= least && value <= 86_400,
      `from ${least} to 86400 seconds`,
    );
  return {
    port: numberOption("port", values.port, isPort, "a whole number from 0 to 65535"),
    maxSlots: wholeNumberOption("slots", values.slots ?? (values.tinker ? "256" : "64"), 1),
    maxWaiting: whole("queue", 0),
    cacheMib: whole("cache-mib", 1),
    defaultMaxTokens:
      values["max-tokens"] === undefined ? undefined : wholeNumberOption("max-tokens", values["max-tokens"], 1),
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

interface Announcement {
  readonly url: string;
  readonly ids: readonly [string, ...string[]];
  readonly engine: string;
  readonly hasKey: boolean;
  readonly defaults: GenerationDefaults;
  /** Where clients of the Tinker protocol reach it; undefined: it does not speak that. */
  readonly tinkerUrl: string | undefined;
}

function announce(
  context: CommandContext,
  { json, host }: Values,
  { url, ids, engine, hasKey, defaults, tinkerUrl }: Announcement,
): void {
  const apiUrl = `${url}/v1`;
  const [id] = ids;
  if (json) {
    const tinker = tinkerUrl !== undefined && { tinkerUrl };
    const said = { url, apiUrl, model: id, models: ids, engine, apiKey: hasKey, defaults, ...tinker, pid: process.pid };
    context.out(`${JSON.stringify(said)}\n`);
  } else {
    context.out(`Serving ${ids.join(", ")} at ${url} (base URL for OpenAI's clients: ${apiUrl}). Ctrl-C stops.\n`);
    if (tinkerUrl !== undefined) context.out(`Tinker clients: TINKER_BASE_URL=${tinkerUrl}, base model ${id}.\n`);
    const described = describeDefaults(defaults);
    if (described) context.note(`Where a request says nothing, generation_config.json does: ${described}.\n`);
  }
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

/**
 * The tracker `mlflow`: a run on an MLflow server. Numbers are metrics, the recipe params, completions tables among the
 * artifacts, alarms tags.
 *
 * The server is asked what it has of each metric (`runs/get` gives the latest step of all), so that nothing is sent twice,
 * whichever answer was lost. Artifacts are put under the name of their step, and putting one again changes nothing; their last
 * steps stand in a tag.
 */

import { basename } from "node:path";
import { stringify } from "yaml";
import { z } from "zod";
import { ConfigError, EndpointError } from "../../errors.ts";
import { flatConfig } from "../config.ts";
import { completionsKey } from "../keys.ts";
import { type Place, trackerOf } from "../place.ts";
import { jsonNumber, type Points, type TextPoint, type TrackedCompletion } from "../points.ts";
import { newRunId, readState, writeState } from "../state-file.ts";
import { defineTracker, type RunEnd, type TrackedRun } from "../tracker.ts";
import { MlflowClient, MlflowRefusal, serverFault } from "./client.ts";

const NAME = "mlflow";
/** A request for each step of a fast run would be many. */
const PAUSE_MS = 2_000;
/** Limits of `runs/log-batch` (mlflow.org/docs/latest/rest-api.html#log-batch). */
const MAX_METRICS = 1_000;
const MAX_PARAMS = 100;
const MAX_PARAM_CHARACTERS = 6_000;
/** Of a tag's value (`mlflow.utils.validation`). */
const MAX_TAG_CHARACTERS = 5_000;

/** Finds a run that was made just before its id could be noted. */
const RUN_TAG = "aha.run";
const TEXTS_TAG = "aha.texts";
const STATES = { finished: "FINISHED", interrupted: "KILLED", failed: "FAILED" } as const;

const stateSchema = z.strictObject({ id: z.string(), server: z.string(), runId: z.string().nullable() });
type State = z.infer<typeof stateSchema>;

export const mlflow = defineTracker({
  name: NAME,
  summary: "an MLflow server",
  shape: () => ({
    uri: z
      .string()
      .min(1)
      .superRefine((uri, context) => {
        const fault = serverFault(uri);
        if (fault !== undefined) context.addIssue(fault);
      })
      .optional()
      .describe("the server, e.g. http://127.0.0.1:5000; MLFLOW_TRACKING_URI if absent"),
    experiment: z
      .string()
      .min(1)
      .optional()
      .describe("the experiment there, made where it is not; MLFLOW_EXPERIMENT_NAME, or the recipe's name, if absent"),
    run: z.string().min(1).optional().describe("what the run is called there; the run directory's name if absent"),
    completions: completionsKey(),
  }),
  open: async (run, { uri, experiment, run: runName = basename(run.directory), completions }) => {
    const client = new MlflowClient(serverOf(uri));
    const noted = await readState(run.directory, NAME, stateSchema);
    const id = noted?.id ?? newRunId();
    const runId = noted?.server === client.server ? noted.runId : null;
    const name = experiment ?? (process.env.MLFLOW_EXPERIMENT_NAME || run.name);
    const place = new MlflowRun(client, run, { id, server: client.server, runId }, { experiment: name, runName });
    try {
      await place.connect();
    } catch (error) {
      // A server that is away may come back; one that refuses will refuse again.
      if (!(error instanceof EndpointError)) throw error;
      if (error instanceof MlflowRefusal && error.status < 500)
        throw new ConfigError(`tracker ${NAME}: ${error.message}.`);
    }
    return trackerOf(place, run, { name: NAME, completions, isBehind: run.resumed !== undefined, pauseMs: PAUSE_MS });
  },
});

function serverOf(uri: string | undefined): string {
  const server = uri ?? process.env.MLFLOW_TRACKING_URI?.trim();
  if (!server) {
    throw new ConfigError(
      `tracker ${NAME}: no server is named. Set MLFLOW_TRACKING_URI, or the key uri, e.g. http://127.0.0.1:5000 ` +
        "(mlflow server --host 127.0.0.1 --port 5000 starts one).",
    );
  }
  const fault = serverFault(server);
  if (fault !== undefined) throw new ConfigError(`tracker ${NAME}: MLFLOW_TRACKING_URI: ${fault}.`);
  return server;
}

/** A count that protobuf's JSON may write as a text. */
const wholeNumber = z.union([z.number(), z.string().regex(/^-?\d+$/)]).transform(Number);

const runSchema = z.object({
  info: z.object({
    run_id: z.string(),
    status: z.string().optional(),
    lifecycle_stage: z.string().optional(),
    artifact_uri: z.string().optional(),
  }),
  data: z
    .object({
      metrics: z.array(z.object({ key: z.string(), step: wholeNumber.default(0) })).default([]),
      tags: z.array(z.object({ key: z.string(), value: z.string().default("") })).default([]),
    })
    .prefault({}),
});
type FoundRun = z.infer<typeof runSchema>;

const answers = {
  run: z.object({ run: runSchema }),
  runs: z.object({ runs: z.array(runSchema).default([]) }),
  experiment: z.object({ experiment: z.object({ experiment_id: z.string() }) }),
  made: z.object({ experiment_id: z.string() }),
};

class MlflowRun implements Place {
  private readonly client: MlflowClient;
  private readonly run: TrackedRun;
  private readonly names: { readonly experiment: string; readonly runName: string };
  private state: State;
  /** Where the server keeps the run's artifacts for its clients; undefined where it does not. */
  private artifacts: string | undefined;
  /** The last step of each text. */
  private texts: Record<string, number> = {};
  private isParamFaultSaid = false;

  constructor(client: MlflowClient, run: TrackedRun, state: State, names: { experiment: string; runName: string }) {
    this.client = client;
    this.run = run;
    this.state = state;
    this.names = names;
  }

  async lastSteps(): Promise<ReadonlyMap<string, number>> {
    const { data } = await this.connect();
    return new Map([...data.metrics.map(({ key, step }) => [key, step] as const), ...Object.entries(this.texts)]);
  }

  /** Finds the run on the server, or makes it, and says that it goes on. */
  async connect(): Promise<FoundRun> {
    const found = (await this.known()) ?? (await this.orphan()) ?? (await this.create());
    const runId = found.info.run_id;
    if (this.state.runId !== runId) {
      this.state = { ...this.state, runId };
      await writeState(this.run.directory, NAME, this.state);
    }
    this.artifacts = artifactPath(found.info.artifact_uri);
    this.texts = textSteps(found.data.tags.find(({ key }) => key === TEXTS_TAG)?.value);
    if (found.info.status !== "RUNNING")
      await this.client.call("runs/update", { body: { run_id: runId, status: "RUNNING" } });
    await this.logParams();
    return found;
  }

  async write(points: readonly Points[]): Promise<void> {
    const metrics = points.flatMap(({ step, at, scalars }) =>
      scalars.map(([key, value]) => ({ key, value: jsonNumber(value), timestamp: at, step })),
    );
    for (let i = 0; i < metrics.length; i += MAX_METRICS) {
      await this.logBatch({ metrics: metrics.slice(i, i + MAX_METRICS) });
    }
    const texts = points.flatMap(({ step, texts }) => texts.map((text) => ({ step, text })));
    for (const { step, text } of texts) {
      await this.writeText(step, text);
      this.texts[text.tag] = step;
    }
    if (texts.length > 0) await this.logBatch({ tags: [{ key: TEXTS_TAG, value: JSON.stringify(this.texts) }] });
  }

  async finish(end: RunEnd): Promise<void> {
    await this.putArtifact("recipe.yaml", stringify(this.run.recipe));
    if (end.state === "finished") await this.putArtifact("summary.json", JSON.stringify(end.summary, undefined, 2));
    else await this.logBatch({ tags: [{ key: "aha.reason", value: cut(end.reason, MAX_TAG_CHARACTERS) }] });
    const body = { run_id: this.runId, status: STATES[end.state], end_time: Date.now() };
    await this.client.call("runs/update", { body });
  }

  private get runId(): string {
    return this.state.runId!;
  }

  /** The run that was noted; undefined where none was, or it is gone. */
  private async known(): Promise<FoundRun | undefined> {
    const { runId } = this.state;
    if (runId === null) return undefined;
    try {
      const { run } = this.read(answers.run, await this.client.call("runs/get", { query: { run_id: runId } }));
      return run.info.lifecycle_stage === "deleted" ? undefined : run;
    } catch (error) {
      if (error instanceof MlflowRefusal && error.code === "RESOURCE_DOES_NOT_EXIST") return undefined;
      throw error;
    }
  }

  /** A run that a killed session made and could not note. */
  private async orphan(): Promise<FoundRun | undefined> {
    const experiment = await this.experimentId();
    const body = { experiment_ids: [experiment], filter: `tags.\`${RUN_TAG}\` = '${this.state.id}'`, max_results: 1 };
    return this.read(answers.runs, await this.client.call("runs/search", { body })).runs[0];
  }

  private async create(): Promise<FoundRun> {
    // First the name by which it is found again.
    await writeState(this.run.directory, NAME, this.state);
    const body = {
      experiment_id: await this.experimentId(),
      run_name: this.names.runName,
      start_time: Date.now(),
      tags: [
        { key: RUN_TAG, value: this.state.id },
        { key: "mlflow.source.name", value: "aha" },
        { key: "mlflow.source.type", value: "LOCAL" },
      ],
    };
    return this.read(answers.run, await this.client.call("runs/create", { body })).run;
  }

  private async experimentId(): Promise<string> {
    const { experiment: name } = this.names;
    const find = async () => {
      const answer = await this.client.call("experiments/get-by-name", { query: { experiment_name: name } });
      return this.read(answers.experiment, answer).experiment.experiment_id;
    };
    try {
      return await find();
    } catch (error) {
      if (!(error instanceof MlflowRefusal && error.code === "RESOURCE_DOES_NOT_EXIST")) throw error;
    }
    try {
      const answer = await this.client.call("experiments/create", { body: { name } });
      return this.read(answers.made, answer).experiment_id;
    } catch (error) {
      // Somebody else made it meanwhile.
      if (error instanceof MlflowRefusal && error.code === "RESOURCE_ALREADY_EXISTS") return await find();
      throw error;
    }
  }

  private async logParams(): Promise<void> {
    const params = [...flatConfig(this.run.recipe)].map(([key, value]) => {
      return { key: paramKey(key), value: cut(String(value), MAX_PARAM_CHARACTERS) };
    });
    try {
      for (let i = 0; i < params.length; i += MAX_PARAMS) {
        await this.logBatch({ params: params.slice(i, i + MAX_PARAMS) });
      }
    } catch (error) {
      // Older servers take shorter ones. The recipe is among the artifacts too.
      if (!(error instanceof MlflowRefusal && error.status === 400)) throw error;
      if (!this.isParamFaultSaid)
        this.run.warn(`The tracker ${NAME} did not take all of the recipe: ${error.message}.`);
      this.isParamFaultSaid = true;
    }
  }

  private async logBatch(batch: object): Promise<void> {
    await this.client.call("runs/log-batch", { body: { run_id: this.runId, ...batch } });
  }

  private async writeText(step: number, text: TextPoint): Promise<void> {
    if (text.kind === "alarm") {
      const value = cut(`${text.isRaised ? "raised" : "over"} at step ${step}: ${text.message}`, MAX_TAG_CHARACTERS);
      await this.logBatch({ tags: [{ key: text.tag.replace(/\/message$/, ""), value }] });
    } else {
      await this.putArtifact(`${text.tag}/step-${String(step).padStart(6, "0")}.json`, table(text.completions));
    }
  }

  private async putArtifact(path: string, content: string): Promise<void> {
    if (this.artifacts !== undefined) await this.client.putArtifact(`${this.artifacts}/${path}`, content);
  }

  private read<T>(schema: z.ZodType<T>, answer: unknown): T {
    const parsed = schema.safeParse(answer);
    if (parsed.success) return parsed.data;
    throw new EndpointError("malformed", `${this.client.server} does not answer as an MLflow server does`);
  }
}

/** Where a run's artifacts lie below the root of those that the server itself keeps (`mlflow-artifacts:/1/…/artifacts`). */
function artifactPath(uri: string | undefined): string | undefined {
  const path = /^mlflow-artifacts:(?:\/\/[^/]*)?\/(.+)$/.exec(uri ?? "")?.[1];
  return path?.split("/").some((segment) => segment === "" || segment === "." || segment === "..") ? undefined : path;
}

function textSteps(value: string | undefined): Record<string, number> {
  try {
    return z.record(z.string(), z.number()).parse(JSON.parse(value ?? "{}"));
  } catch {
    return {};
  }
}

/** As MLflow's `log_table` writes it: columns, and rows of values. */
function table(completions: readonly TrackedCompletion[]): string {
  const facts = [...new Set(completions.flatMap((completion) => Object.keys(completion.facts)))];
  const columns = ["prompt", "completion", ...facts];
  const data = completions.map(({ prompt, completion, facts: about }) => {
    return [prompt, completion, ...facts.map((name) => about[name] ?? null)];
  });
  return JSON.stringify({ columns, data });
}

/** Characters that names of params may have (`mlflow.utils.validation`). */
function paramKey(key: string): string {
  return cut(key.replace(/[^A-Za-z0-9_\-./ :]/g, "_"), 250);
}

function cut(text: string, characters: number): string {
  return text.length > characters ? `${text.slice(0, characters - 1)}…` : text;
}

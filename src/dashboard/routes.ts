/**
 * The addresses of the dashboard under /api/, each with what it answers, as JSON unless it says otherwise.
 *
 *     GET  /api/runs                      a card for each run and pipeline
 *     GET  /api/run?id=                   a run's page
 *     GET  /api/metrics?id=&stage=&names= columns of metrics and timings; names are separated by commas
 *     GET  /api/metrics.csv?id=&stage=    all of them, as text
 *     GET  /api/evaluation?id=&index=     an evaluation with its answers
 *     GET  /api/rollouts?id=&…            a page of rollouts (`queries.ts`)
 *     GET  /api/rollout?id=&row=          one, opened
 *     GET  /api/compare?id=&id=…          two to six runs
 *     GET  /api/events[?id=&id=…]         server-sent events: news of runs, or the list of runs
 *     POST /api/stop?id=                  asks a run to stop after its step
 */

import type { ServerResponse } from "node:http";
import { compareRuns } from "../inspect/compare-runs.ts";
import { csvText } from "../inspect/csv-text.ts";
import { MAX_COMPARED } from "../inspect/limits.ts";
import type { StageColumns } from "../inspect/number-table.ts";
import type { RolloutDesk } from "../inspect/rollout-desk.ts";
import { runView } from "../inspect/run-answers.ts";
import { askToStop } from "../inspect/stop-run.ts";
import { HttpError } from "./http-error.ts";
import type { KnownRuns } from "./known-runs.ts";
import type { LiveEvents } from "./live-events.ts";
import { requiredText, rolloutsQuery, wholeNumberIn } from "./queries.ts";

/** What answers are made of. */
export interface RouteContext {
  readonly runs: KnownRuns;
  readonly desk: RolloutDesk;
  readonly events: LiveEvents;
  readonly parameters: URLSearchParams;
  readonly response: ServerResponse;
}

/** An answer; undefined where the route answers by itself. */
export type RouteAnswer = { readonly json: unknown } | { readonly csv: string; readonly fileName: string } | undefined;

/** A route of one method. */
export interface Route {
  readonly method: "GET" | "POST";
  readonly answer: (context: RouteContext) => Promise<RouteAnswer> | RouteAnswer;
}

async function readRun({ runs, parameters }: RouteContext) {
  const { found, live } = runs.run(requiredText(parameters, "id"));
  await live.refresh();
  if (live.state === "gone") throw new HttpError(410, `${found.id} is gone: its directory was moved or deleted.`);
  return { found, live };
}

function opened(runs: KnownRuns, ids: readonly string[]) {
  return ids.map((id) => ({ id, live: runs.run(id).live }));
}

/** Numbers with seven digits: a curve shows no more, and they are a third as long. */
function rounded({ steps, columns }: StageColumns): StageColumns {
  const short = (value: number | null) => (value === null ? null : Number(value.toPrecision(7)));
  const entries = Object.entries(columns).map(([name, values]) => [name, values.map(short)] as const);
  return { steps, columns: Object.fromEntries(entries) };
}

/** By path. */
export const DASHBOARD_ROUTES: ReadonlyMap<string, Route> = new Map<string, Route>([
  ["/api/runs", { method: "GET", answer: async ({ runs }) => ({ json: await runs.cards() }) }],
  [
    "/api/run",
    {
      method: "GET",
      answer: async (context) => {
        const { found, live } = await readRun(context);
        return { json: runView(found.id, found.pipeline, live) };
      },
    },
  ],
  [
    "/api/metrics",
    {
      method: "GET",
      answer: async (context) => {
        const { live } = await readRun(context);
        const stage = requiredText(context.parameters, "stage");
        const names = requiredText(context.parameters, "names").split(",");
        const [metrics, timings] = [live.metrics.columns(stage, names), live.timings.columns(stage, names)];
        return { json: { metrics: rounded(metrics), timings: rounded(timings) } };
      },
    },
  ],
  [
    "/api/metrics.csv",
    {
      method: "GET",
      answer: async (context) => {
        const { found, live } = await readRun(context);
        const stage = requiredText(context.parameters, "stage");
        const { steps, columns } = live.metrics.columns(stage, live.metrics.names(stage));
        const fileName = `${found.id}-${stage}`.replace(/[^\w.-]+/g, "-");
        const values = Object.values(columns);
        const rows = steps.map((step, i) => [step, ...values.map((column) => column[i])]);
        return { csv: csvText(["step", ...Object.keys(columns)], rows), fileName: `${fileName}.csv` };
      },
    },
  ],
  [
    "/api/evaluation",
    {
      method: "GET",
      answer: async (context) => {
        const { live } = await readRun(context);
        const record = await live.evaluation(wholeNumberIn(context.parameters, "index"));
        if (record === undefined) throw new HttpError(404, "There is no such evaluation.");
        return { json: record };
      },
    },
  ],
  [
    "/api/rollouts",
    {
      method: "GET",
      answer: async ({ runs, desk, parameters }) => {
        const { found } = runs.run(requiredText(parameters, "id"));
        return { json: await desk.ask(found.directory, { kind: "page", ...rolloutsQuery(parameters) }) };
      },
    },
  ],
  [
    "/api/rollout",
    {
      method: "GET",
      answer: async (context) => {
        const { found, live } = await readRun(context);
        const row = wholeNumberIn(context.parameters, "row");
        const recipe = live.recipe();
        const opened = await context.desk.ask(found.directory, { kind: "open", row, recipe });
        if (opened === undefined) throw new HttpError(404, "There is no such completion (any more).");
        return { json: opened };
      },
    },
  ],
  [
    "/api/compare",
    {
      method: "GET",
      answer: async ({ runs, parameters }) => {
        const ids = parameters.getAll("id");
        if (ids.length < 2 || ids.length > MAX_COMPARED) {
          throw new HttpError(400, `From two to ${MAX_COMPARED} runs can be compared, not ${ids.length}.`);
        }
        const compared = opened(runs, ids);
        for (const { live } of compared) await live.refresh();
        return { json: await compareRuns(compared) };
      },
    },
  ],
  [
    "/api/events",
    {
      method: "GET",
      answer: async ({ runs, events, parameters, response }) => {
        const ids = parameters.getAll("id");
        if (ids.length > MAX_COMPARED)
          throw new HttpError(400, `At most ${MAX_COMPARED} runs can be followed at once.`);
        if (ids.length === 0) events.followList(response);
        else await events.followRuns(opened(runs, ids), response);
        return undefined;
      },
    },
  ],
  [
    "/api/stop",
    {
      method: "POST",
      answer: ({ runs, parameters }) => {
        const found = runs.named(requiredText(parameters, "id"));
        askToStop(found.directory);
        return { json: { asked: true } };
      },
    },
  ],
]);

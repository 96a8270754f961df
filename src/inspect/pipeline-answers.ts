/** What the dashboard tells of a pipeline: its stages, what came from what, and what each model reached. */

import { existsSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { parse } from "yaml";
import { z } from "zod";
import { PIPELINE_FILES, pipelineLineageSchema, pipelineSummarySchema } from "../run/pipeline-records.ts";
import { lockState } from "../run/run-lock.ts";
import type { RunState } from "./run-state.ts";

/** A stage of a pipeline. */
export interface PipelineStage {
  readonly name: string;
  /** A trainer's recipe, or the data step. */
  readonly kind: string;
  readonly note: string | undefined;
  readonly state: "waiting" | "begun" | "finished";
  readonly seconds: number;
  /** Stages whose output it takes. */
  readonly needs: readonly string[];
  readonly rows: number | undefined;
  /** Statistics by suite. */
  readonly results: Readonly<Record<string, Readonly<Record<string, number | null>>>>;
}

/** A pipeline in the list, and on its own page. */
export interface PipelineCard {
  readonly kind: "pipeline";
  readonly id: string;
  readonly name: string;
  readonly question: string;
  readonly seed: number | undefined;
  readonly state: RunState;
  readonly startedAt: string | undefined;
  readonly updatedAt: string | undefined;
  readonly seconds: number;
  readonly stages: readonly PipelineStage[];
  /** Statistics that its author wants to see. */
  readonly columns: readonly string[];
  /** Why it cannot be read. */
  readonly problem: string | undefined;
}

const plannedSchema = z.looseObject({
  name: z.string().optional(),
  question: z.string().optional(),
  pipeline: z.array(z.looseObject({ name: z.string(), note: z.string().optional() })).optional(),
});

/** The card of the pipeline in `directory`, whatever state its files are in. */
export function pipelineCard(id: string, directory: string): PipelineCard {
  const updated = timeOf(join(directory, PIPELINE_FILES.lineage));
  const about = {
    kind: "pipeline" as const,
    id,
    updatedAt: updated,
    startedAt: timeOf(join(directory, PIPELINE_FILES.pipeline)),
  };
  const state = pipelineState(directory);
  try {
    const planned = plannedSchema.parse(
      parse(readText(directory, PIPELINE_FILES.pipeline) ?? "{}", { maxAliasCount: 100 }),
    );
    const lineage = readJson(directory, PIPELINE_FILES.lineage, pipelineLineageSchema);
    const summary = readJson(directory, PIPELINE_FILES.summary, pipelineSummarySchema);
    const begun = Object.entries(lineage?.stages ?? {}).map(([name, record]): PipelineStage => {
      const told = summary?.stages.find((stage) => stage.name === name);
      const rows = record.rows && record.rows.train + record.rows.test;
      return {
        ...{ name, kind: record.ingredients.kind, state: record.state, seconds: record.seconds, rows },
        note: told?.note ?? planned.pipeline?.find((stage) => stage.name === name)?.note,
        needs: Object.keys(record.ingredients.inputs),
        results: resultsOf(told?.evaluations ?? {}),
      };
    });
    const waiting = (planned.pipeline ?? []).filter(({ name }) => !begun.some((stage) => stage.name === name));
    return {
      ...about,
      state,
      name: lineage?.pipeline ?? planned.name ?? basename(directory),
      question: summary?.question ?? planned.question ?? "",
      seed: lineage?.seed,
      seconds: begun.reduce((total, { seconds }) => total + seconds, 0),
      stages: [...begun, ...waiting.map(({ name, note }) => waitingStage(name, note))],
      columns: summary?.columns ?? [],
      problem: undefined,
    };
  } catch (error) {
    const problem = error instanceof z.ZodError ? "Its files are not as Aha writes them." : String(error);
    const nothing = { question: "", seed: undefined, seconds: 0, stages: [], columns: [] };
    return { ...about, ...nothing, state, name: basename(directory), problem };
  }
}

function waitingStage(name: string, note: string | undefined): PipelineStage {
  return { name, note, kind: "", state: "waiting", seconds: 0, needs: [], rows: undefined, results: {} };
}

function resultsOf(evaluations: Readonly<Record<string, { readonly statistics: Record<string, number | null> }>>) {
  return Object.fromEntries(Object.entries(evaluations).map(([suite, { statistics }]) => [suite, statistics]));
}

function pipelineState(directory: string): RunState {
  if (!existsSync(directory)) return "gone";
  if (lockState(directory)?.isHeld === true) return "running";
  return existsSync(join(directory, PIPELINE_FILES.summary)) ? "finished" : "interrupted";
}

function readText(directory: string, name: string): string | undefined {
  const path = join(directory, name);
  return existsSync(path) ? readFileSync(path, "utf8") : undefined;
}

function readJson<T>(directory: string, name: string, schema: z.ZodType<T>): T | undefined {
  const text = readText(directory, name);
  return text === undefined ? undefined : schema.parse(JSON.parse(text));
}

function timeOf(path: string): string | undefined {
  try {
    return statSync(path).mtime.toISOString();
  } catch {
    return undefined;
  }
}

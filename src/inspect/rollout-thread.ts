/** The thread that `rollout-desk.ts` starts: holds the rollouts of the runs that were looked at last, and answers. */

import { parentPort } from "node:worker_threads";
import { AhaError } from "../errors.ts";
import { Rollouts } from "./rollout-answers.ts";
import type { DeskAnswer, DeskQuestion } from "./rollout-desk.ts";
import { RunTokenizers } from "./token-view.ts";

/** Runs whose rollouts are kept in memory. */
const MAX_RUNS = 6;

const tokenizers = new RunTokenizers();
const runs = new Map<string, Rollouts>();

function rolloutsOf(directory: string): Rollouts {
  const found = runs.get(directory) ?? new Rollouts(directory, tokenizers);
  // The newest last: the first of the map is the one that nobody has asked about for longest.
  runs.delete(directory);
  runs.set(directory, found);
  if (runs.size > MAX_RUNS) runs.delete(runs.keys().next().value!);
  return found;
}

parentPort!.on("message", async ({ id, directory, request }: DeskQuestion) => {
  const answer = await answerTo(directory, request).catch((error: unknown): Partial<DeskAnswer> => {
    if (error instanceof AhaError) return { refused: error.message };
    return { failed: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  });
  parentPort!.postMessage({ id, ...answer } satisfies DeskAnswer);
});

async function answerTo(directory: string, request: DeskQuestion["request"]): Promise<Partial<DeskAnswer>> {
  return { answer: await rolloutsOf(directory).answer(request) };
}

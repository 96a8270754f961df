/** `maxStaleness` on a server: what is sampled ahead and what is trained are under way there at the same time. */

import { expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { openTinkerPolicy } from "../../src/engine/tinker/open-tinker.ts";
import { fetchWire, type Wire } from "../../src/engine/tinker/transport.ts";
import { ConfigError } from "../../src/errors.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import type { TrainContext } from "../../src/train/context.ts";
import { trainGrpo } from "../../src/train/grpo/grpo.ts";
import { grpoConfigSchema } from "../../src/train/grpo/issues.ts";
import { lettersTask, lettersTokenizer, MemoryLog } from "../train/letters.ts";
import { startTinker } from "./tinker-server.ts";

const server = await startTinker();

const config = grpoConfigSchema().parse({
  iterations: 4,
  rewards: [{ name: "format" }],
  promptsPerIteration: 2,
  groupSize: 3,
  maxCompletionTokens: 5,
  learningRate: 0.01,
  maxGradNorm: 0,
  maxStaleness: 1,
});

/** A score of its own for every completion, so that there is something to learn from. */
const distinct = {
  weight: 1,
  reward: {
    name: "distinct",
    judgeBatch: async (inputs: readonly unknown[]) => inputs.map((_, i) => ({ score: i % 3, reason: "by its place" })),
  },
};

/** Trains on the server, through a wire that is seen by `watch`. */
async function train(profile: string, watch: (wire: Wire) => Wire) {
  const engine = await openTinkerPolicy(
    { url: server.url, baseModel: "tiny", profile, patienceSeconds: 20, rank: undefined },
    {
      path: server.model,
      lora: { rank: 2, alpha: 32, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS },
      adapterSeed: 3,
    },
    diskFolder,
    { wire: watch(fetchWire(server.url)) },
  );
  const log = new MemoryLog();
  const signal = new AbortController().signal;
  const context: TrainContext = { engine, tokenizer: lettersTokenizer, task: lettersTask, seed: 7, signal, log };
  try {
    await trainGrpo(context, config, [distinct]);
  } finally {
    await engine.dispose();
  }
  return log;
}

/** What is read of requests here. */
interface Asked {
  readonly request_id?: string;
  readonly sampling_session_id?: string;
  readonly path?: string;
  readonly aha?: { readonly iteration: number };
}

const bodyOf = (body: string | Uint8Array | undefined) =>
  typeof body === "string" ? (JSON.parse(body) as Asked) : undefined;

it("trains while the next completions are sampled: they have no answer before the step was asked for", async () => {
  // Which iteration the samples of a request are of.
  const sampled = new Map<string, number>();
  const waiting: { readonly iteration: number; readonly go: () => void }[] = [];
  let steps = 0;
  const names = new Set<string>();
  const log = await train("aha", (wire) => async (request) => {
    const name = request.path.replace("/api/v1/", "");
    const body = bodyOf(request.body);
    if (name === "retrieve_future") {
      // Samples of iteration i are held back until the step of iteration i − 1 has been asked for.
      const iteration = sampled.get(body!.request_id!) ?? 0;
      if (iteration > steps) await new Promise<void>((go) => waiting.push({ iteration, go }));
    }
    if (name === "optim_step") {
      steps++;
      for (const { iteration, go } of waiting) if (iteration <= steps) go();
    }
    const response = await wire(request);
    if (name === "asample") {
      const { request_id } = JSON.parse(new TextDecoder().decode(response.body)) as { readonly request_id: string };
      sampled.set(request_id, body!.aha!.iteration);
      names.add(body!.sampling_session_id!);
    }
    return response;
  });
  expect(steps).toBe(4);
  expect(waiting.length).toBeGreaterThan(0);
  expect(log.metricsRows.map((row) => row["staleness/max"])).toEqual([0, 1, 1, 1]);
  expect(log.metricsRows[2]!["sampling/sampling_logp_difference/mean"]).toBeGreaterThan(1e-3);
  // The policy's own session, and one that all snapshots take over from each other.
  expect(names.size).toBe(2);
  expect(server.defects).toEqual([]);
});

it("removes each snapshot from a server that speaks the protocol alone, when it was sampled from", async () => {
  const seen: string[] = [];
  await train("hosted", (wire) => async (request) => {
    const name = request.path.replace("/api/v1/", "");
    const body = bodyOf(request.body);
    if (name === "save_weights_for_sampler") seen.push(body!.path === undefined ? "unnamed" : `saved ${body!.path}`);
    if (name === "forward_backward") seen.push("trained");
    if (request.method === "DELETE") seen.push(`removed ${request.path.split("/").at(-1)}`);
    return wire(request);
  });
  const snapshots = [1, 2, 3].map((number) => `snapshot-00000${number}`);
  expect(seen).toEqual([
    "unnamed",
    ...snapshots.flatMap((snapshot) => [`saved ${snapshot}`, "trained", `removed ${snapshot}`]),
    "trained",
  ]);
  expect(server.defects).toEqual([]);
});

it("is refused by name where a model on the server has one set of weights", async () => {
  const training = train("skyrl", (wire) => wire);
  await expect(training).rejects.toThrow(ConfigError);
  await expect(training).rejects.toThrow(/maxStaleness needs frozen copies of its weights that sample \(snapshots\)/);
});

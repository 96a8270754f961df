/** The requests about models and checkpoints that are on the disk: lists, descriptions, expiry, removal, files. */

import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { z } from "zod";
import { filesBelow } from "../../run/whole-folder.ts";
import { CHECKPOINT_KINDS, type CheckpointKind, formatTinkerPath } from "../../tinker/tinker-path.ts";
import { readBytes } from "../read-body.ts";
import { sendJson } from "../respond.ts";
import { decodePath } from "../routes.ts";
import type { KeptCheckpoint, TrainingRun } from "./checkpoint-store.ts";
import { jsonBody } from "./json-body.ts";
import { Refusal } from "./refusal.ts";
import { UNNAMED } from "./sampling-requests.ts";
import type { TinkerService } from "./tinker-service.ts";

const MOST_LISTED = 1000;

/** Answers a request of this kind; false for one of another kind. Throws Refusal. */
export async function checkpointRoute(
  service: TinkerService,
  request: IncomingMessage,
  response: ServerResponse,
  method: string,
  path: string,
): Promise<boolean> {
  const [first, id, second, kind, name, ...rest] = path.split("/").map(decodePath);
  const send = (value: object) => {
    sendJson(response, 200, value);
    return true;
  };
  if (first === "checkpoints" && id === undefined && method === "GET") {
    const { items: checkpoints, cursor } = pageOf(request, await checkpointsOf(service));
    return send({ checkpoints, cursor });
  }
  if (first !== "training_runs") return false;
  if (id === undefined) {
    if (method !== "GET") return false;
    const runs = await service.checkpoints.runs();
    const page = pageOf(request, runs);
    // Each reads all of its checkpoints, so those beyond the page are left alone.
    const training_runs = await Promise.all(page.items.map((run) => describeRun(service, run)));
    return send({ training_runs, cursor: page.cursor });
  }
  if (second === undefined) {
    if (method !== "GET") return false;
    const run = await service.checkpoints.run(id);
    if (run === undefined) throw new Refusal(404, `There is no training run ${JSON.stringify(id.slice(0, 200))}.`);
    return send(await describeRun(service, { id, run }));
  }
  if (second !== "checkpoints") return false;
  if (kind === undefined) return method === "GET" ? send({ checkpoints: await checkpointsOf(service, id) }) : false;
  if (name === undefined || !(kind in CHECKPOINT_KINDS)) return false;
  const checkpoint = { modelId: id, kind: kind as CheckpointKind, name };
  const [what, file] = rest;
  if (what === undefined && method === "DELETE") {
    await service.checkpoints.remove(checkpoint);
    service.sampling.forget(checkpoint);
    response.writeHead(204).end();
    return true;
  }
  if (what === "ttl" && method === "PUT") {
    const bytes = await readBytes(request, 2 ** 16);
    const { value, text } = jsonBody(bytes);
    if (text === "") throw new Refusal(400, "The body is empty: give an object with ttl_seconds.");
    const { ttl_seconds } = z.object({ ttl_seconds: z.int().min(1).nullish() }).parse(value);
    await service.checkpoints.setExpiry(checkpoint, ttl_seconds ?? null);
    response.writeHead(204).end();
    return true;
  }
  if (what === "files" && method === "GET") {
    const { directory } = await service.checkpoints.find(checkpoint);
    const files = await filesBelow(directory);
    if (file === undefined) return send({ files });
    if (!files.includes(file))
      throw new Refusal(404, `${formatTinkerPath(checkpoint)} has no file ${file.slice(0, 100)}.`);
    const { size } = await stat(join(directory, file));
    response.writeHead(200, { "content-type": "application/octet-stream", "content-length": size });
    await pipeline(createReadStream(join(directory, file)), response);
    return true;
  }
  return false;
}

async function checkpointsOf(service: TinkerService, modelId?: string): Promise<object[]> {
  const all = await service.checkpoints.list(modelId);
  return all.filter(({ path }) => !path.name.startsWith(UNNAMED)).map(describeCheckpoint);
}

function describeCheckpoint({ path, savedAt, sizeBytes, expiresAt, userMetadata }: KeptCheckpoint): object {
  return {
    checkpoint_id: `${path.kind}/${path.name}`,
    checkpoint_type: CHECKPOINT_KINDS[path.kind],
    time: savedAt,
    tinker_path: formatTinkerPath(path),
    size_bytes: sizeBytes,
    public: false,
    ...(userMetadata !== null && { user_metadata: asTexts(userMetadata) }),
    ...(expiresAt !== null && { expires_at: expiresAt }),
  };
}

async function describeRun(
  service: TinkerService,
  { id, run }: { readonly id: string; readonly run: TrainingRun },
): Promise<object> {
  const all = (await service.checkpoints.list(id)).filter(({ path }) => !path.name.startsWith(UNNAMED));
  const last = (kind: CheckpointKind) => all.filter(({ path }) => path.kind === kind).at(-1);
  const [training, sampler] = [last("weights"), last("sampler_weights")];
  return {
    training_run_id: id,
    base_model: run.baseModel,
    model_owner: "aha",
    is_lora: true,
    lora_rank: run.lora.rank,
    corrupted: false,
    last_request_time: service.sessions.models.get(id)?.lastRequestAt ?? training?.savedAt ?? run.createdAt,
    ...(training && { last_checkpoint: describeCheckpoint(training) }),
    ...(sampler && { last_sampler_checkpoint: describeCheckpoint(sampler) }),
    ...(run.userMetadata !== null && { user_metadata: asTexts(run.userMetadata) }),
  };
}

/** The official client takes texts alone. */
function asTexts(metadata: Readonly<Record<string, unknown>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(metadata).map(([key, value]) => [key, typeof value === "string" ? value : JSON.stringify(value)]),
  );
}

/** What of a list the request asks for. Throws Refusal 422. */
function pageOf<T>(
  request: IncomingMessage,
  all: readonly T[],
): { readonly items: readonly T[]; readonly cursor: object } {
  const query = new URL(request.url ?? "/", "http://host").searchParams;
  const whole = (name: string, fallback: number) => {
    const value = Number(query.get(name) ?? fallback);
    if (Number.isInteger(value) && value >= 0) return value;
    throw new Refusal(422, `${name} is a whole number of at least 0, not ${String(query.get(name)).slice(0, 50)}.`);
  };
  const [offset, limit] = [whole("offset", 0), Math.min(whole("limit", 100), MOST_LISTED)];
  return { items: all.slice(offset, offset + limit), cursor: { offset, limit, total_count: all.length } };
}

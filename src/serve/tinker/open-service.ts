/**
 * A server that goes on where the one before it in the directory ended, however it ended: sessions, sampling sessions and
 * models are there, and requests that were taken and not answered are begun again, as if their clients had sent them once
 * more. They keep their futures.
 */

import { join } from "node:path";
import { REQUESTS, type RequestBody } from "../../tinker/requests.ts";
import type { KeptRequest } from "./found-sessions.ts";
import { Journal } from "./journal.ts";
import { jsonBody } from "./json-body.ts";
import type { TakenRequest } from "./kept-files.ts";
import type { ServedBase } from "./served-base.ts";
import { type ServiceOptions, TinkerService } from "./tinker-service.ts";

/** The folder of the journal below the checkpoints' one. */
const JOURNAL = "sessions";

/** What of a server before this one goes on. */
export interface TakenOver {
  readonly sessions: number;
  readonly models: number;
  /** Requests that were taken and not answered. */
  readonly requests: number;
  /** Sessions about another base, which are left as they are. */
  readonly others: number;
}

/**
 * A service over a base, whose weights `fingerprint` tells from others (`base-fingerprint.ts`).
 *
 * @throws RunDirError where another server has the directory.
 */
export async function openService(
  base: ServedBase,
  { fingerprint, ...options }: ServiceOptions & { readonly fingerprint: string },
): Promise<{ readonly service: TinkerService; readonly takenOver: TakenOver }> {
  const journal = await Journal.open(join(options.directory, JOURNAL), fingerprint, options.limits.mostJournalBytes);
  const service = new TinkerService(base, journal, options);
  const { sessions, others } = await journal.read();
  for (const session of sessions) await service.restore(session);
  const requests = sessions.flatMap((session) => session.requests);
  const unanswered = requests.filter(({ result }) => result === undefined);
  // First, while nothing was begun and nothing can go.
  await completeCalls(service, requests, unanswered);
  await beginAgain(service, unanswered);
  await service.sampling.removeUnused();
  const { size: models } = service.sessions.models;
  return { service, takenOver: { sessions: sessions.length, models, requests: unanswered.length, others } };
}

/** One that cannot be begun fails. */
async function beginAgain(service: TinkerService, requests: readonly KeptRequest[]): Promise<void> {
  for (const { record, body } of requests) {
    await body!
      .read()
      .then((bytes) => begin(service, record, bytes))
      .catch((error: unknown) => service.futures.failRestored(record.id, error));
  }
}

/** Prompts of calls of which some have been answered: the others are sampled with them. */
async function completeCalls(
  service: TinkerService,
  requests: readonly KeptRequest[],
  unanswered: readonly KeptRequest[],
): Promise<void> {
  const calls = new Set<string>();
  for (const request of unanswered) {
    const { call } = await callOf(request);
    if (call !== undefined) calls.add(call);
  }
  if (calls.size === 0) return;
  for (const request of requests) {
    // One that failed by itself was never in the call.
    if (request.result === undefined || request.result.kind === "failed") continue;
    const { call, body } = await callOf(request);
    if (call === undefined || !calls.has(call)) continue;
    // Not waited for. Where it fails, as in a sampling session that is gone, those who wait for the call hear of it.
    void service.sampling.completeCall(body).catch(() => {});
  }
}

async function begin(service: TinkerService, { name, turn }: TakenRequest, bytes: Uint8Array): Promise<unknown> {
  if (name === "forward_backward") return service.forwardBackward(turn!.model, turn!.number, bytes);
  const { value, text } = jsonBody(bytes);
  switch (name) {
    case "create_model":
      return service.createModel(REQUESTS.create_model.parse(value), text);
    case "load_weights":
      return service.loadWeights(REQUESTS.load_weights.parse(value), text);
    case "create_custom_loss":
      return service.createCustomLoss(REQUESTS.create_custom_loss.parse(value), text);
    case "unload_model":
      return service.unload(REQUESTS.unload_model.parse(value), text);
    case "asample":
      return service.sampling.sample(REQUESTS.asample.parse(value), text);
    case "optim_step":
    case "save_weights":
    case "save_weights_for_sampler":
      return service.numbered(name, value, text);
    default:
      throw new Error(`There are no requests of the name ${name} that have futures.`);
  }
}

/** The call that a request to sample belongs to, with the request; neither for another one, or one that cannot be read. */
async function callOf({
  record,
  body,
}: KeptRequest): Promise<
  | { readonly call: string; readonly body: RequestBody<"asample"> }
  | { readonly call: undefined; readonly body?: undefined }
> {
  if (record.name !== "asample" || body === undefined) return { call: undefined };
  const request = await body
    .read()
    .then((bytes) => REQUESTS.asample.parse(jsonBody(bytes).value))
    .catch(() => undefined);
  if (request === undefined) return { call: undefined };
  const { aha, sampling_session_id } = request;
  return aha?.call ? { call: `${sampling_session_id} ${aha.call.id}`, body: request } : { call: undefined };
}

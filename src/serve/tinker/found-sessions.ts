/**
 * What a server before this one left in its journal (`journal.ts`): sessions with their losses, sampling sessions and
 * requests. Of requests and results only what is known of them comes into memory; a body is read when somebody needs it.
 */

import { readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { TEMPORARY_PREFIX } from "../../files.ts";
import {
  digestOf,
  type KeptSampling,
  namesIn,
  readHeaded,
  readJson,
  recordSchema,
  resultSchema,
  samplingSchema,
  sessionSchema,
  type TakenRequest,
  takenRequest,
} from "./kept-files.ts";

/** A request as it was found. */
export interface KeptRequest {
  readonly record: TakenRequest;
  /** Undefined where it is no longer needed. */
  readonly body: KeptBody | undefined;
  /** What it came to, with the bytes of that; undefined where it was not carried out. */
  readonly result: { readonly kind: "json" | "protobuf" | "failed" | "gone"; readonly bytes: number } | undefined;
}

/** A body on the disk. */
export interface KeptBody {
  readonly bytes: number;
  readonly read: () => Promise<Uint8Array>;
}

/** A custom loss, as it was uploaded. */
export interface KeptLoss {
  readonly number: number;
  readonly text: string;
}

/** A session as it was found. */
export interface KeptSession {
  readonly id: string;
  readonly losses: readonly KeptLoss[];
  readonly sampling: readonly KeptSampling[];
  readonly requests: readonly KeptRequest[];
}

/** The sessions about `base` below `root`, and how many there are of another base. What was ending is removed. */
export async function findSessions(
  root: string,
  base: string,
): Promise<{ readonly sessions: readonly KeptSession[]; readonly others: number }> {
  const sessions: KeptSession[] = [];
  let others = 0;
  for (const id of await namesIn(root)) {
    const directory = join(root, id);
    if (id.startsWith(TEMPORARY_PREFIX)) {
      await rm(directory, { recursive: true, force: true });
      continue;
    }
    if (!/^[0-9a-f-]{36}$/.test(id)) continue;
    const about = await readJson(join(directory, "session.json"), sessionSchema);
    if (about === undefined) {
      // It was ending, or had only begun.
      await rm(directory, { recursive: true, force: true });
      continue;
    }
    if (about.base !== base) {
      others++;
      continue;
    }
    sessions.push({
      id,
      losses: await findLosses(directory),
      sampling: await findSampling(directory),
      requests: await findRequests(directory),
    });
  }
  return { sessions, others };
}

async function findLosses(directory: string): Promise<KeptLoss[]> {
  const names = (await namesIn(join(directory, "losses"))).filter((name) => /^\d+\.json$/.test(name));
  return Promise.all(
    names.map(async (name) => ({
      number: Number.parseInt(name, 10),
      text: await readFile(join(directory, "losses", name), "utf8"),
    })),
  );
}

async function findSampling(directory: string): Promise<KeptSampling[]> {
  const found: KeptSampling[] = [];
  for (const name of await namesIn(join(directory, "sampling"))) {
    const one = await readJson(join(directory, "sampling", name), samplingSchema);
    if (one) found.push(one);
  }
  return found.sort((a, b) => a.number - b.number);
}

async function findRequests(directory: string): Promise<KeptRequest[]> {
  const found = new Map<string, KeptRequest>();
  for (const id of await namesIn(join(directory, "requests"))) {
    const path = join(directory, "requests", id);
    const [record, body] = (await readHeaded(path, recordSchema)) ?? [];
    if (record?.id === id && body && record.digest === digestOf(body)) {
      found.set(id, {
        record: takenRequest(record),
        body: { bytes: body.length, read: () => readBody(path) },
        result: undefined,
      });
    }
  }
  for (const id of await namesIn(join(directory, "results"))) {
    const [header, payload] = (await readHeaded(join(directory, "results", id), resultSchema)) ?? [];
    if (header?.id !== id || !payload || header.payloadDigest !== digestOf(payload)) continue;
    const { record = takenRequest(header), body } = found.get(id) ?? {};
    found.set(id, { record, body, result: { kind: header.result.kind, bytes: payload.length } });
  }
  return [...found.values()];
}

async function readBody(path: string): Promise<Uint8Array> {
  const [, body] = (await readHeaded(path, recordSchema)) ?? [];
  if (body === undefined) throw new Error(`The request in ${path} was there a moment ago, and cannot be read.`);
  return body;
}

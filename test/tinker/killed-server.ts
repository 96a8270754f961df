/** Servers in this process that end as a kill ends them, over policies that only note what is done. */

import { cpSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { tinkerRoutes } from "../../src/cli/serve-tinker.ts";
import type { Wire } from "../../src/engine/tinker/transport.ts";
import { LOCK_NAME } from "../../src/run/run-lock.ts";
import type { TinkerLimits } from "../../src/serve/tinker/limits.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { inProcessWire } from "./in-process-wire.ts";
import { recordingBase } from "./recording-policy.ts";

export const root = mkdtempSync(join(tmpdir(), "aha-tinker-restart-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
const model = mkdtempSync(join(root, "model-"));
writeFileSync(join(model, "config.json"), "{}");

/** Ticks between a request and the kill that comes after it, at most. */
export const LONGEST_DELAY = 12;

/**
 * A server in this directory. Training takes as long as the longest wait before a kill unless `takesTime` says otherwise, so
 * that kills meet requests that are not answered.
 */
export async function start(
  directory: string,
  limits: Partial<TinkerLimits> = {},
  name = "tiny",
  takesTime: () => Promise<void> = () => ticks(LONGEST_DELAY),
) {
  const { base, policies } = recordingBase(takesTime);
  const defects: unknown[] = [];
  const { routes, takenOver } = await tinkerRoutes({
    ...{ name, base, engine: await base.open({}), apiKey: undefined, directory },
    tokenizer: { eosTokenId: 1 } as unknown as Tokenizer,
    tokenizerDirectory: model,
    modelPath: model,
    limits: { pollMs: 5, ...limits },
    onDefect: (error) => defects.push(error),
  });
  return { routes, policies, defects, takenOver, wire: inProcessWire(routes) };
}

let places = 0;
export const newDirectory = () => join(root, `${places++}`);

/**
 * What a kill at this moment leaves. While this runs the server begins nothing new; what its threads are at is waited for. A
 * lock of a process that is gone counts for nothing.
 */
export function killed(directory: string): string {
  const listing = () => JSON.stringify(readdirSync(directory, { recursive: true }).sort());
  for (;;) {
    const before = listing();
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 3);
    const copy = newDirectory();
    try {
      cpSync(directory, copy, { recursive: true });
    } catch {
      continue;
    }
    if (listing() !== before) continue;
    rmSync(join(copy, "sessions", LOCK_NAME), { force: true });
    return copy;
  }
}

export const ticks = async (count: number) => {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
};

/** Asks over a wire as a client without the SDK does. */
export const asking = (wire: Wire) => async (path: string, body: object | Uint8Array<ArrayBuffer>) => {
  const isBytes = body instanceof Uint8Array;
  const answer = await wire({
    ...{ method: "POST", path: `/api/v1/${path}` },
    headers: { "content-type": isBytes ? "application/x-protobuf" : "application/json" },
    body: isBytes ? body : JSON.stringify(body),
  });
  const text = new TextDecoder().decode(answer.body);
  return { status: answer.status, text, json: text.startsWith("{") ? JSON.parse(text) : {} };
};

/** What a request comes to. */
export const resultOf = async ({ wire }: { readonly wire: Wire }, request_id: string) => {
  for (;;) {
    const { text, json } = await asking(wire)("retrieve_future", { request_id });
    if (json.type !== "try_again") return text;
  }
};

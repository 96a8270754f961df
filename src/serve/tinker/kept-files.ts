/** The forms of what the journal keeps, and the files that they are read from and written to, each whole or not at all. */

import { createHash } from "node:crypto";
import { renameSync, rmSync, writeFileSync } from "node:fs";
import { readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { TEMPORARY_PREFIX } from "../../files.ts";
import type { FutureResult } from "./future-result.ts";

/** What is known of a request. */
export const recordSchema = z.object({
  /** Of the future. */
  id: z.string().regex(/^[0-9a-f]{32}$/),
  /** What identifies the request. */
  key: z.string(),
  /** SHA-256 of the body. */
  digest: z.string(),
  session: z.string(),
  /** The last part of its path. */
  name: z.string(),
  /** The model whose turn it takes, and its number there. */
  turn: z.object({ model: z.string(), number: z.int() }).optional(),
});
/** A request that was taken. */
export type TakenRequest = z.output<typeof recordSchema>;

/**
 * What is known of a request, and nothing else of the object that it is given. There are many of them in memory, and V8 (of
 * Node 20) gives each object that is made by spreading another one a hidden class of its own, three times its size.
 */
export function takenRequest({ id, key, digest, session, name, turn }: TakenRequest): TakenRequest {
  return { id, key, digest, session, name, turn };
}

/** What is known of a result. */
export const resultSchema = recordSchema.extend({
  result: z.discriminatedUnion("kind", [
    z.object({ kind: z.literal("json") }),
    z.object({ kind: z.literal("protobuf") }),
    z.object({ kind: z.literal("failed"), category: z.enum(["user", "server", "unknown"]) }),
    // It was kept for long enough; that it was carried out is not forgotten yet.
    z.object({ kind: z.literal("gone") }),
  ]),
  payloadDigest: z.string(),
});

/** What is known of a sampling session. */
export const samplingSchema = z.object({
  number: z.int(),
  modelPath: z.string().nullable(),
  weights: z.object({ modelId: z.string(), kind: z.enum(["weights", "sampler_weights"]), name: z.string() }).nullable(),
  joined: z.int(),
});
/** A sampling session as it is kept. */
export type KeptSampling = z.output<typeof samplingSchema>;

/** What is known of a session. */
export const sessionSchema = z.object({ base: z.string(), beganAt: z.string() });

/** SHA-256, as it is kept. */
export function digestOf(bytes: Uint8Array | string): string {
  return createHash("sha256").update(bytes).digest("base64");
}

/** The bytes of a result. */
export function payloadOf(result: FutureResult): Uint8Array {
  switch (result.kind) {
    case "json":
      return Buffer.from(JSON.stringify(result.value));
    case "protobuf":
      return result.bytes;
    case "failed":
      return Buffer.from(result.error);
    default:
      return result satisfies never;
  }
}

/** The result that these bytes are. */
export function keptResult(about: z.output<typeof resultSchema>["result"], payload: Uint8Array): FutureResult | "gone" {
  const text = () => new TextDecoder().decode(payload);
  switch (about.kind) {
    case "json":
      return { kind: "json", value: JSON.parse(text()) as object };
    case "protobuf":
      return { kind: "protobuf", bytes: payload };
    case "failed":
      return { kind: "failed", error: text(), category: about.category };
    case "gone":
      return "gone";
    default:
      return about satisfies never;
  }
}

/** What is in a directory; nothing where it is not there. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory)).sort();
  } catch {
    return [];
  }
}

/** Undefined for a file that is not there, or not ours. */
export async function readJson<T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> {
  try {
    return schema.parse(JSON.parse(await readFile(path, "utf8")));
  } catch {
    return undefined;
  }
}

/** A line of JSON and what stands behind it; undefined for a file that is not there, or not ours. */
export async function readHeaded<T>(path: string, schema: z.ZodType<T>): Promise<readonly [T, Uint8Array] | undefined> {
  try {
    return headed(await readFile(path), schema);
  } catch {
    return undefined;
  }
}

/** The same of the bytes of a file. */
export function headed<T>(bytes: Buffer, schema: z.ZodType<T>): readonly [T, Uint8Array] | undefined {
  try {
    const end = bytes.indexOf(0x0a);
    return [schema.parse(JSON.parse(bytes.toString("utf8", 0, end))), bytes.subarray(end + 1)];
  } catch {
    return undefined;
  }
}

let temporaries = 0;

/** Files up to this size are written in one go: handing them to a thread takes longer. */
const WRITTEN_AT_ONCE = 1 << 16;

/** Writes a file of the journal at `root` that appears whole. It is not flushed to the disk. */
export async function writeKept(root: string, path: string, parts: readonly (string | Uint8Array)[]): Promise<void> {
  const temporary = join(root, `${TEMPORARY_PREFIX}${process.pid}-${temporaries++}`);
  const bytes = Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : part)));
  try {
    if (bytes.length <= WRITTEN_AT_ONCE) {
      writeFileSync(temporary, bytes, { flag: "wx" });
      renameSync(temporary, join(root, path));
    } else {
      await writeFile(temporary, bytes, { flag: "wx" });
      await rename(temporary, join(root, path));
    }
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

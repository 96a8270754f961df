/**
 * What a tracker has to find again in a later session of a run: which run it is over there. `trackers/NAME.json` in the run
 * directory. It holds no secrets.
 */

import { randomUUID } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { z } from "zod";
import { RunDirError } from "../errors.ts";
import { readTextFileIfPresent, writeWhole } from "../files.ts";
import { parseJson } from "../json-text.ts";
import { RUN_FILES } from "../run/run-store.ts";

const MAX_BYTES = 64 * 2 ** 10;

/** What the tracker `name` noted in the run directory; undefined where it noted nothing. Throws RunDirError. */
export async function readState<T>(directory: string, name: string, schema: z.ZodType<T>): Promise<T | undefined> {
  const path = statePath(directory, name);
  const text = await readTextFileIfPresent(path, { maxBytes: MAX_BYTES, error: RunDirError });
  if (text === undefined) return undefined;
  const parsed = schema.safeParse(parseJson(text, path, RunDirError));
  if (parsed.success) return parsed.data;
  throw new RunDirError(
    `${path} is not as Aha writes it, so something else has changed it. Bring it back, or delete it: then the tracker ` +
      `${name} begins with the run anew.`,
  );
}

/** Notes it. */
export async function writeState(directory: string, name: string, state: object): Promise<void> {
  mkdirSync(join(directory, RUN_FILES.trackers), { recursive: true });
  await writeWhole(statePath(directory, name), `${JSON.stringify(state, null, 2)}\n`);
}

/** A name for a run that no other run has: 32 hexadecimal digits. Nothing that is trained depends on it. */
export function newRunId(): string {
  return randomUUID().replaceAll("-", "");
}

function statePath(directory: string, name: string): string {
  return join(directory, RUN_FILES.trackers, `${name}.json`);
}

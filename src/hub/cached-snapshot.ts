/**
 * What the cache alone can give: used offline, and where the Hub cannot be reached. A cache that an older huggingface_hub
 * filled has no list of a commit's files; then the files themselves have to tell whether they are enough.
 */

import { stat } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { HubError } from "../errors.ts";
import { readTextFile } from "../files.ts";
import { parseJson } from "../json-text.ts";
import { sizeText } from "../number-text.ts";
import type { RepositoryCache } from "./cache.ts";
import { formatHubReference, type HubReference, pullCommand } from "./reference.ts";
import type { RemoteFile } from "./remote-file.ts";
import { isEssential, selectFiles } from "./selection.ts";
import type { Snapshot } from "./snapshot.ts";

const MAX_INDEX_BYTES = 64 * 2 ** 20;
const MAX_SHOWN = 8;

const indexSchema = z.looseObject({ weight_map: z.record(z.string(), z.string()) });

/**
 * Ignores missing files that are not needed.
 *
 * @throws HubError that lists the missing files which are needed
 */
export function requireCached(
  reference: HubReference,
  commit: string,
  missing: readonly RemoteFile[],
  failure: HubError | undefined,
): void {
  const needed = missing.filter((file) => isEssential(reference, file));
  if (needed.length === 0) return;
  const bytes = needed.reduce((sum, file) => sum + file.sizeBytes, 0);
  const names = needed.slice(0, MAX_SHOWN).map((file) => `${file.path} (${sizeText(file.sizeBytes)})`);
  const more = needed.length > MAX_SHOWN ? `, and ${needed.length - MAX_SHOWN} more` : "";
  const total = needed.length > 1 ? `, together ${sizeText(bytes)}` : "";
  throw incomplete(reference, commit, `${names.join(", ")}${more}${total}`, failure);
}

/**
 * The snapshot of a commit whose list of files is not known, where what is there is enough.
 *
 * @throws HubError that says what is missing
 */
export async function snapshotWithoutList(
  reference: HubReference,
  commit: string,
  cache: RepositoryCache,
  failure: HubError | undefined,
): Promise<Snapshot> {
  const directory = cache.snapshot(commit);
  const paths = await cache.snapshotPaths(commit);
  if (paths.length === 0) throw incomplete(reference, commit, "all of them", failure);
  const missing = reference.kind === "model" ? await missingOfModel(directory, paths) : [];
  if (missing.length > 0) throw incomplete(reference, commit, missing.join(", "), failure);
  const wanted = selectFiles(
    reference,
    paths.map((path) => ({ path })),
  );
  const files = await Promise.all(
    wanted.map(async ({ path }) => ({ path, sizeBytes: (await stat(join(directory, path))).size })),
  );
  return { reference, commit, directory, files, downloadedBytes: 0 };
}

async function missingOfModel(directory: string, paths: readonly string[]): Promise<string[]> {
  const has = (path: string) => paths.includes(path);
  if (has("adapter_config.json")) return has("adapter_model.safetensors") ? [] : ["adapter_model.safetensors"];
  const missing = has("config.json") ? [] : ["config.json"];
  if (has("model.safetensors")) return missing;
  const index = "model.safetensors.index.json";
  if (!has(index)) return paths.some((path) => path.endsWith(".safetensors")) ? missing : [...missing, "the weights"];
  const path = join(directory, index);
  const text = await readTextFile(path, { maxBytes: MAX_INDEX_BYTES, error: HubError });
  const parsed = indexSchema.safeParse(parseJson(text, path, HubError));
  if (!parsed.success) return missing;
  return [...missing, ...new Set(Object.values(parsed.data.weight_map).filter((shard) => !has(shard)))];
}

function incomplete(reference: HubReference, commit: string, what: string, failure: HubError | undefined): HubError {
  const why =
    failure === undefined
      ? "Offline mode (HF_HUB_OFFLINE or --offline) allows no download"
      : failure.message.replace(/\.$/, "");
  return new HubError(
    `${why}, and the cache lacks files of ${formatHubReference(reference)} (commit ${commit.slice(0, 12)}): ${what}. ` +
      `Download them while online: ${pullCommand(reference)}.`,
  );
}

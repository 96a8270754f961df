/** What a policy on a server leaves in directories here: where its states are, and the adapter itself where it can be had. */

import { z } from "zod";
import { CheckpointError, EngineError } from "../../errors.ts";
import { type FolderAt, writeJson } from "../../folder.ts";
import { parseJson } from "../../json-text.ts";
import type { LoraConfig } from "../../model/lora.ts";
import { type RemoteArtifact, readRemoteArtifact, writeRemoteArtifact } from "../contract/artifact.ts";
import { filesOfArchive } from "./archive.ts";
import type { Transport } from "./transport.ts";

const FILE = "tinker.json";

const stateSchema = z.strictObject({
  profile: z.string(),
  baseModel: z.string(),
  /** The path of the reference policy's weights; null: there is none. */
  reference: z.string().nullable(),
});
export type TinkerState = z.output<typeof stateSchema>;

const CONFIG = "adapter_config.json";
/** What of an adapter is fetched; the server keeps a description of its own beside them. */
const ADAPTER_FILES = ["adapter_model.safetensors", CONFIG];
/** Most bytes of an adapter's files. */
const MOST_BYTES = 2 ** 31;

/** The directories here. */
export class SavedFiles {
  readonly #folderAt: FolderAt;
  readonly #basePath: string;

  /** `basePath`: the base's directory here, which a fetched adapter names as its base. */
  constructor(folderAt: FolderAt, basePath: string) {
    this.#folderAt = folderAt;
    this.#basePath = basePath;
  }

  async writeState(directory: string, artifact: RemoteArtifact, state: TinkerState): Promise<void> {
    await writeJson(this.#folderAt(directory), FILE, state);
    await writeRemoteArtifact(this.#folderAt(directory), artifact);
  }

  /** Throws CheckpointError for a directory without a state. */
  async readState(directory: string): Promise<TinkerState & { readonly artifact: RemoteArtifact }> {
    const artifact = await readRemoteArtifact(this.#folderAt(directory));
    const folder = this.#folderAt(directory);
    const path = folder.pathOf(FILE);
    const text = await folder.readText(FILE, { maxBytes: 1 << 16, error: CheckpointError });
    if (text === undefined) throw new CheckpointError(`Cannot read ${path}: it does not exist.`);
    const parsed = stateSchema.safeParse(parseJson(text, path, CheckpointError));
    if (parsed.success) return { ...parsed.data, artifact };
    throw new CheckpointError(`${path} is no state of a model on a Tinker server: ${z.prettifyError(parsed.error)}`);
  }

  writeArtifact(directory: string, artifact: RemoteArtifact): Promise<void> {
    return writeRemoteArtifact(this.#folderAt(directory), artifact);
  }

  /** Fetches an adapter of this form as `adapters` says that it is to be had. */
  async download(
    transport: Transport,
    uri: string,
    directory: string,
    { adapters, lora }: { readonly adapters: "files" | "archive"; readonly lora: LoraConfig },
  ): Promise<void> {
    const { modelId, kind, name } = requireTinkerPath(uri);
    const below = checkpointsOf(modelId);
    const get = async (path: string) => (await transport.send({ method: "GET", path: below + path })).body;
    const files =
      adapters === "files"
        ? new Map(
            await Promise.all(
              ADAPTER_FILES.map(async (file) => [file, await get(`${kind}/${name}/files/${file}`)] as const),
            ),
          )
        : await filesOfArchive(await get(`${name}/download`), ADAPTER_FILES, MOST_BYTES);
    const folder = this.#folderAt(directory);
    for (const [file, bytes] of files) {
      await folder.write(file, (sink) => sink.write(file === CONFIG ? this.#ownConfig(bytes, lora) : bytes));
    }
  }

  /** The server names its own directory as the base, and some name no projections. */
  #ownConfig(config: Uint8Array, { targets }: LoraConfig): Uint8Array {
    const value = JSON.parse(new TextDecoder().decode(config)) as Record<string, unknown>;
    const own = {
      ...value,
      base_model_name_or_path: this.#folderAt(this.#basePath).path,
      target_modules: value.target_modules ?? [...targets],
    };
    return new TextEncoder().encode(`${JSON.stringify(own, null, 2)}\n`);
  }
}

/** Removes a checkpoint that nobody needs any more; one that cannot be removed stays. Never throws. */
export async function removeCheckpoint(transport: Transport, uri: string): Promise<void> {
  try {
    const { modelId, kind, name } = requireTinkerPath(uri);
    await transport.send({ method: "DELETE", path: `${checkpointsOf(modelId)}${kind}/${name}` });
  } catch {
    // The server has no such request, or does not answer.
  }
}

/** Below which path the checkpoints of a model are asked for. */
const checkpointsOf = (modelId: string) => `/api/v1/training_runs/${modelId}/checkpoints/`;

/** The parts of a path; servers leave the kind out where it is what they sample from. */
function requireTinkerPath(uri: string): { readonly modelId: string; readonly kind: string; readonly name: string } {
  const [modelId, ...rest] = uri.replace("tinker://", "").split("/");
  const [kind, name] = rest.length === 1 ? ["sampler_weights", rest[0]] : rest;
  if (modelId && kind && name) return { modelId, kind, name };
  throw new EngineError(`The Tinker server saved weights under ${JSON.stringify(uri)}, which is no path of one.`);
}

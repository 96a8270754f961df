/** What a policy on a server leaves in directories here: where its states are, and the adapter itself where it can be had. */

import { z } from "zod";
import { CheckpointError, EngineError } from "../../errors.ts";
import { type FolderAt, writeJson } from "../../folder.ts";
import { parseJson } from "../../json-text.ts";
import type { LoraConfig } from "../../model/lora.ts";
import { ARTIFACT_FILE, type RemoteArtifact, readRemoteArtifact, writeRemoteArtifact } from "../contract/artifact.ts";
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

/** Of weights that are only read: what whoever opens them needs to know of the model. */
const weightsSchema = z.strictObject({
  profile: z.string(),
  baseModel: z.string(),
  /** Of the adapter. */
  rank: z.int().min(1),
  info: z.strictObject({
    vocabSize: z.int().min(1),
    maxContextTokens: z.int().min(1),
    eosTokenIds: z.array(z.int().min(0)),
  }),
});
export type TinkerWeights = z.output<typeof weightsSchema>;

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
    return { ...(await this.#read(directory, stateSchema, "no state of a model on a Tinker server")), artifact };
  }

  /** The paths that the state in a directory names; none where there is no state. Throws CheckpointError where it cannot be read. */
  async namedBy(directory: string): Promise<readonly string[]> {
    const names = await this.#folderAt(directory).names();
    if (!names.includes(FILE) && !names.includes(ARTIFACT_FILE)) return [];
    const { artifact, reference } = await this.readState(directory);
    return reference === null ? [artifact.uri] : [artifact.uri, reference];
  }

  async writeWeights(directory: string, artifact: RemoteArtifact, weights: TinkerWeights): Promise<void> {
    await writeJson(this.#folderAt(directory), FILE, weights);
    await writeRemoteArtifact(this.#folderAt(directory), artifact);
  }

  /** The weights that a directory names; undefined: none. Throws CheckpointError for files that are damaged. */
  async readWeights(directory: string): Promise<(TinkerWeights & { readonly artifact: RemoteArtifact }) | undefined> {
    if (!(await this.#folderAt(directory).names()).includes(FILE)) return undefined;
    const artifact = await readRemoteArtifact(this.#folderAt(directory));
    return {
      ...(await this.#read(directory, weightsSchema, "no description of weights on a Tinker server")),
      artifact,
    };
  }

  async #read<T>(directory: string, schema: z.ZodType<T>, otherwise: string): Promise<T> {
    const folder = this.#folderAt(directory);
    const path = folder.pathOf(FILE);
    const text = await folder.readText(FILE, { maxBytes: 1 << 16, error: CheckpointError });
    if (text === undefined) throw new CheckpointError(`Cannot read ${path}: it does not exist.`);
    const parsed = schema.safeParse(parseJson(text, path, CheckpointError));
    if (parsed.success) return parsed.data;
    throw new CheckpointError(`${path} is ${otherwise}: ${z.prettifyError(parsed.error)}`);
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

/**
 * Removes a checkpoint that nobody needs any more; one that cannot be removed stays. It is asked for once: training does not
 * wait until a server is there again only to have less on it. Never throws.
 */
export async function removeCheckpoint(transport: Transport, uri: string): Promise<void> {
  try {
    const { modelId, kind, name } = requireTinkerPath(uri);
    const path = `${checkpointsOf(modelId)}${kind}/${name}`;
    await transport.send({ method: "DELETE", path }, { patienceMs: 0 });
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

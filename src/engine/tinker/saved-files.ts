/** What a policy on a server leaves in directories here: where its states are, and the adapter itself where it can be had. */

import { z } from "zod";
import { CheckpointError } from "../../errors.ts";
import { type FolderAt, writeJson } from "../../folder.ts";
import { parseJson } from "../../json-text.ts";
import { type RemoteArtifact, readRemoteArtifact, writeRemoteArtifact } from "../contract/artifact.ts";
import type { Transport } from "./transport.ts";

const FILE = "tinker.json";

const stateSchema = z.strictObject({
  profile: z.string(),
  baseModel: z.string(),
  /** The path of the reference policy's weights; null: there is none. */
  reference: z.string().nullable(),
});
export type TinkerState = z.output<typeof stateSchema>;

/** What of an adapter is fetched; the server keeps a description of its own beside them. */
const ADAPTER_FILES = ["adapter_model.safetensors", "adapter_config.json"];

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

  /** Fetches an adapter of a server that gives files out. */
  async download(transport: Transport, uri: string, directory: string): Promise<void> {
    const [modelId, kind, name] = uri.replace("tinker://", "").split("/");
    const folder = this.#folderAt(directory);
    for (const file of ADAPTER_FILES) {
      const path = `/api/v1/training_runs/${modelId}/checkpoints/${kind}/${name}/files/${file}`;
      const { body } = await transport.send({ method: "GET", path });
      await folder.write(file, (sink) => sink.write(file.endsWith(".json") ? this.#withOwnBase(body) : body));
    }
  }

  /** The server names its own directory as the base. */
  #withOwnBase(config: Uint8Array): Uint8Array {
    const value = JSON.parse(new TextDecoder().decode(config)) as Record<string, unknown>;
    const own = { ...value, base_model_name_or_path: this.#folderAt(this.#basePath).path };
    return new TextEncoder().encode(`${JSON.stringify(own, null, 2)}\n`);
  }
}

/** What a policy on a server leaves in directories here: where its states are, and the adapter itself where it can be had. */

import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { z } from "zod";
import { CheckpointError } from "../../errors.ts";
import { parseJson, readTextFile, writeWhole } from "../../files.ts";
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
  readonly #basePath: string;

  /** `basePath`: the base's directory here, which a fetched adapter names as its base. */
  constructor(basePath: string) {
    this.#basePath = basePath;
  }

  async writeState(directory: string, artifact: RemoteArtifact, state: TinkerState): Promise<void> {
    await writeWhole(join(directory, FILE), `${JSON.stringify(state, null, 2)}\n`);
    await writeRemoteArtifact(directory, artifact);
  }

  /** Throws CheckpointError for a directory without a state. */
  async readState(directory: string): Promise<TinkerState & { readonly artifact: RemoteArtifact }> {
    const artifact = await readRemoteArtifact(directory);
    const path = join(directory, FILE);
    const text = await readTextFile(path, { maxBytes: 1 << 16, error: CheckpointError });
    const parsed = stateSchema.safeParse(parseJson(text, path, CheckpointError));
    if (parsed.success) return { ...parsed.data, artifact };
    throw new CheckpointError(`${path} is no state of a model on a Tinker server: ${z.prettifyError(parsed.error)}`);
  }

  writeArtifact(directory: string, artifact: RemoteArtifact): Promise<void> {
    return writeRemoteArtifact(directory, artifact);
  }

  /** Fetches an adapter of a server that gives files out. */
  async download(transport: Transport, uri: string, directory: string): Promise<void> {
    const [modelId, kind, name] = uri.replace("tinker://", "").split("/");
    await mkdir(directory, { recursive: true });
    for (const file of ADAPTER_FILES) {
      const path = `/api/v1/training_runs/${modelId}/checkpoints/${kind}/${name}/files/${file}`;
      const { body } = await transport.send({ method: "GET", path });
      await writeFile(join(directory, file), file.endsWith(".json") ? this.#withOwnBase(body) : body);
    }
  }

  /** The server names its own directory as the base. */
  #withOwnBase(config: Uint8Array): string {
    const value = JSON.parse(new TextDecoder().decode(config)) as Record<string, unknown>;
    return `${JSON.stringify({ ...value, base_model_name_or_path: resolve(this.#basePath) }, null, 2)}\n`;
  }
}

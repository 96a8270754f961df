/** A Hub on this machine and an empty cache for each test, and a model to pull from it. */

import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect } from "vitest";
import { HubError } from "../../src/errors.ts";
import { type PullOptions, pull } from "../../src/hub/pull.ts";
import { parseHubReference } from "../../src/hub/reference.ts";
import { type HubSettings, hubSettings } from "../../src/hub/settings.ts";
import { HubServer } from "./hub-server.ts";

/** Numbers that do not repeat, so that a part in the wrong place is seen. */
export const bytes = (size: number, seed = 1) => {
  const content = Buffer.alloc(size);
  let state = seed;
  for (let i = 0; i < size; i++) {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    content[i] = state >>> 16;
  }
  return content;
};

export const WEIGHTS = bytes(300_000);
export const MODEL = {
  "config.json": '{"model_type": "qwen2"}',
  "generation_config.json": "{}",
  "tokenizer.json": JSON.stringify({ tokens: Array.from({ length: 500 }, (_, i) => i) }),
  "tokenizer_config.json": "{}",
  "chat_template.jinja": "{{ messages }}",
  "model.safetensors": WEIGHTS,
  "README.md": "# A model",
  ".gitattributes": "*.safetensors filter=lfs",
  "pytorch_model.bin": bytes(5000),
  "training_args.bin": bytes(10),
  "onnx/model.onnx": bytes(10),
  "original/consolidated.safetensors": bytes(10),
  "trainer_state.json": "{}",
};

/** What a test works with. */
export class HubSession {
  hub!: HubServer;
  cache!: string;
  settings!: HubSettings;

  /** Starts the Hub again, empty, as after an interruption of the network. */
  async restart(): Promise<void> {
    await this.hub?.close();
    this.hub = await HubServer.start();
    this.settings = this.settingsWith({});
  }

  settingsWith(environment: Record<string, string>, offline = false): HubSettings {
    return hubSettings({
      offline,
      timing: { stallMs: 400, backoffMs: 5, maxWaitMs: 2000 },
      environment: { HF_ENDPOINT: this.hub.endpoint, HF_HUB_CACHE: this.cache, ...environment },
    });
  }

  pullModel(text: string, options: Partial<PullOptions> = {}) {
    return pull(parseHubReference(text, "model")!, { settings: this.settings, ...options });
  }

  blobsOf(folder: string): string[] {
    return readdirSync(join(this.cache, folder, "blobs")).sort();
  }

  /** Where the requests for large files began; what was on its way when a connection was cut may be lost. */
  starts(): number[] {
    return this.hub.requests
      .filter(({ server }) => server === "files")
      .map(({ range }) => (range === undefined ? 0 : Number(/^bytes=(\d+)-$/.exec(range)![1])));
  }
}

/** A session that begins anew before each test of the file. */
export function hubSession(): HubSession {
  const session = new HubSession();
  beforeEach(async () => {
    session.cache = mkdtempSync(join(tmpdir(), "aha-hub-"));
    await session.restart();
  });
  afterEach(async () => {
    await session.hub.close();
    rmSync(session.cache, { recursive: true, force: true });
  });
  return session;
}

/** The message of the HubError that `promise` ends with. */
export async function failureOf(promise: Promise<unknown>): Promise<string> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(HubError);
  return (error as Error).message;
}

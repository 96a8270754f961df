/** A Tinker server in this process, on a small model with random weights; it ends with the tests of the file. */

import { afterAll } from "vitest";
import { tinkerRoutes } from "../../src/cli/serve-tinker.ts";
import { Compute } from "../../src/compute/compute.ts";
import type { Policy } from "../../src/engine/contract/policy.ts";
import { openSharedBase } from "../../src/engine/open.ts";
import type { ModelConfig } from "../../src/model/model-config.ts";
import { serveEngine } from "../../src/serve/served-model.ts";
import { ApiServer } from "../../src/serve/server.ts";
import type { TinkerLimits } from "../../src/serve/tinker/limits.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import { emptyDirectory, MODELS, modelValues, writeModel } from "../engine/models.ts";

export interface StartedTinker {
  readonly url: string;
  /** The base, in the Hugging Face layout. */
  readonly model: string;
  readonly directory: string;
  readonly baseModel: string;
  readonly defects: unknown[];
  readonly stop: () => Promise<void>;
}

const started: StartedTinker[] = [];

afterAll(async () => {
  await Promise.all(started.map(({ stop }) => stop()));
});

/** Token i is the letter of this number. */
const letters = {
  vocabSize: 29,
  eosTokenId: 1,
  padTokenId: null,
  encode: (text: string) => Int32Array.from(text, (letter) => letter.charCodeAt(0) - 97 + 2),
  decode: (tokens: ArrayLike<number>) => Array.from(tokens, (token) => String.fromCharCode(95 + token)).join(""),
} as unknown as Tokenizer;

export const TINY: ModelConfig = MODELS["tied, query and key norms"];

export async function startTinker({
  model,
  directory,
  limits = {},
  apiKey,
  name = "tiny",
  tokenizer = letters,
  threads = 2,
  port = 0,
}: {
  readonly model?: string;
  readonly directory?: string;
  readonly limits?: Partial<TinkerLimits>;
  readonly apiKey?: string;
  readonly name?: string;
  readonly tokenizer?: Tokenizer;
  readonly threads?: number;
  readonly port?: number;
} = {}): Promise<StartedTinker> {
  const path = model ?? (await writeModel(TINY, modelValues(TINY)));
  const base = await openSharedBase({ kind: "local" }, { path }, Compute.open({ threads }));
  const engine: Policy = await base.open({});
  const defects: unknown[] = [];
  const onDefect = (error: unknown) => {
    defects.push(error);
  };
  const kept = directory ?? (await emptyDirectory());
  const { routes: mounted } = await tinkerRoutes({
    ...{ name, base, engine, tokenizer, apiKey, onDefect, limits },
    tokenizerDirectory: path,
    modelPath: path,
    directory: kept,
  });
  const served = serveEngine(engine, tokenizer, { id: name, defaultMaxTokens: 16 });
  const server = await ApiServer.listen(served, {
    host: "127.0.0.1",
    port,
    apiKey,
    corsOrigin: undefined,
    maxBodyBytes: 2 ** 20,
    maxSequences: 64,
    requestTimeoutMs: 60_000,
    onDefect,
    mounted,
  });
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    stopped ??= (async () => {
      await mounted.close();
      await server.close(1000);
      await served.session.close();
      await engine.dispose();
    })();
    await stopped;
  };
  const own = { url: server.url, model: path, directory: kept, baseModel: name, defects, stop };
  started.push(own);
  return own;
}

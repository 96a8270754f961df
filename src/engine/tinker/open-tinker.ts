/** Opens models on a Tinker server: which server it is, what it has, a session, and a model to train or weights to read. */

import { ConfigError, EngineError } from "../../errors.ts";
import type { Folder, FolderAt } from "../../folder.ts";
import { readModelConfig } from "../../model/hf-config.ts";
import { ALL_LORA_TARGETS, type LoraConfig } from "../../model/lora.ts";
import { AHA_EXTENSION } from "../../tinker/aha-extension.ts";
import { DEFAULT_LORA_ALPHA } from "../../tinker/requests.ts";
import type { PolicyInfo } from "../contract/policy.ts";
import type { Sampler } from "../contract/sampler.ts";
import type { PolicySource } from "../engine-kind.ts";
import { probeServer } from "./probe.ts";
import { profileNamed, type TinkerProfile } from "./profile.ts";
import { endSession } from "./remote-parts.ts";
import { SavedFiles } from "./saved-files.ts";
import { type ServerCapabilities, serverCapabilities, TinkerClient } from "./tinker-client.ts";
import { TinkerPolicy } from "./tinker-policy.ts";
import { TinkerSampler } from "./tinker-sampler.ts";
import type { TinkerSpec } from "./tinker-spec.ts";
import { type Clock, fetchWire, REAL_CLOCK, Transport, type Wire } from "./transport.ts";

/** The only place that a key comes from. */
export const KEY_VARIABLE = "TINKER_API_KEY";

/** The adapter where a recipe says nothing of it; its rank by `engine.rank`, or this. */
const NEW_ADAPTER = { alpha: DEFAULT_LORA_ALPHA, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };
const DEFAULT_RANK = 32;

/** A server that can be asked. */
export interface FoundServer {
  readonly transport: Transport;
  readonly profile: TinkerProfile;
  /** What it says of itself. */
  readonly said: ServerCapabilities;
}

/** What a test puts in the place of the network, and how a policy is opened. */
export interface TinkerSurroundings {
  readonly wire?: Wire;
  readonly clock?: Clock;
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** Whether the server's behaviour is compared with its profile (`probe.ts`) before a model to train is made. */
  readonly probes?: boolean;
}

/**
 * A policy on the server that `spec` names. `source` is the base's directory here, whose tokenizer and sizes are the model's.
 *
 * @throws ConfigError for what the server does not have; EngineError where it cannot be asked.
 */
export async function openTinkerPolicy(
  spec: TinkerSpec,
  source: PolicySource,
  folderAt: FolderAt,
  surroundings: TinkerSurroundings = {},
): Promise<TinkerPolicy> {
  const server = await findServer(spec, surroundings);
  const lora = adapterOf(spec, source, server.profile);
  const info = await infoOf(spec, folderAt(source.path), server, `LoRA of rank ${lora.rank}`);
  return withClient(server, async (client) => {
    const parts = { ...partsOf(spec, source, folderAt), client, profile: server.profile, info, lora };
    // With the extension there is no convention to find out.
    if (surroundings.probes === true && !server.profile.extension) await probeServer(parts);
    return TinkerPolicy.open(parts);
  });
}

/**
 * Weights on the server that `spec` names, to be read: those that the folder of `source.adapter` or of `source.path` names as
 * its own (a run's `model/`), else the base's.
 *
 * @throws ConfigError for what the server does not have; EngineError where it cannot be asked.
 */
export async function openTinkerSampler(
  spec: TinkerSpec,
  source: PolicySource,
  folderAt: FolderAt,
  surroundings: TinkerSurroundings = {},
): Promise<Sampler> {
  const folder = folderAt(source.adapter ?? source.path);
  const { files, ...rest } = partsOf(spec, source, folderAt);
  const saved = await files.readWeights(folder.path);
  if (saved === undefined) await requireBase(folder, source);
  else requireSameBase(spec, saved.baseModel, folder);
  const server = await findServer(spec, surroundings);
  const { profile } = server;
  const what = saved === undefined ? "the base" : folder.path;
  const known = saved?.info && { ...saved.info, name: nameOf(spec, profile, what) };
  const info = known ?? (await infoOf(spec, folderAt(source.path), server, what));
  const lora = { ...NEW_ADAPTER, rank: saved?.rank ?? DEFAULT_RANK };
  return withClient(server, (client) =>
    TinkerSampler.open({ ...rest, files, client, profile, info, lora }, saved?.artifact.uri),
  );
}

/**
 * The server that `spec` names: whether it can be asked, which one it is, and whether it has the base.
 *
 * @throws ConfigError for what it does not have; EngineError where it cannot be asked.
 */
export async function findServer(
  spec: TinkerSpec,
  {
    wire = fetchWire(spec.url),
    clock = REAL_CLOCK,
    environment = globalThis.process?.env ?? {},
  }: TinkerSurroundings = {},
): Promise<FoundServer> {
  const apiKey = keyFrom(environment);
  const transport = new Transport({ wire, clock, url: spec.url, apiKey, patienceMs: 1000 * spec.patienceSeconds });
  const said = await serverCapabilities(transport);
  const profile = await profileOf(spec, said, transport);
  requireBaseModel(spec, said);
  return { transport, profile, said };
}

/** The key; undefined where there is none. Throws ConfigError, which does not show it, for one that no header can carry. */
export function keyFrom(environment: Readonly<Record<string, string | undefined>>): string | undefined {
  const key = environment[KEY_VARIABLE]?.trim();
  if (!key) return undefined;
  if (/^[\x21-\x7e]+$/.test(key)) return key;
  throw new ConfigError(`${KEY_VARIABLE} has characters that no header can carry: use printable ASCII, no spaces.`);
}

/** What `work` makes of a new session with the server, which ends where it fails. */
async function withClient<T>(
  { transport, profile }: FoundServer,
  work: (client: TinkerClient) => Promise<T>,
): Promise<T> {
  const client = await TinkerClient.open(transport, profile.gone);
  try {
    return await work(client);
  } catch (error) {
    await endSession({ client, profile });
    throw error;
  }
}

function partsOf({ baseModel }: TinkerSpec, { path, adapterSeed = 0 }: PolicySource, folderAt: FolderAt) {
  return { baseModel, adapterSeed, files: new SavedFiles(folderAt, path) };
}

/** Refuses an adapter that is on this machine alone. */
async function requireBase(folder: Folder, { adapter }: PolicySource): Promise<void> {
  const names = await folder.names();
  const isAdapter = adapter !== undefined || (names.includes("adapter_config.json") && !names.includes("config.json"));
  if (!isAdapter) return;
  throw new ConfigError(
    `The adapter in ${folder.path} is on this machine, and the Tinker protocol has no way to give it to the server: ` +
      "take engine.kind local, or the directory of a run whose weights are on the server.",
  );
}

function requireSameBase({ baseModel }: TinkerSpec, own: string, { path }: Folder): void {
  if (own === baseModel) return;
  throw new ConfigError(
    `engine.baseModel is ${JSON.stringify(baseModel)}, and the weights of ${path} are of ${JSON.stringify(own)}.`,
  );
}

async function profileOf(spec: TinkerSpec, server: ServerCapabilities, transport: Transport): Promise<TinkerProfile> {
  const speaks = server.aha?.extension === AHA_EXTENSION;
  if (spec.profile !== undefined) {
    const profile = profileNamed(spec.profile);
    if (profile.extension && !speaks) {
      throw new ConfigError(
        `engine.profile ${profile.name}: the server at ${spec.url} does not speak version ${AHA_EXTENSION} of Aha's extension. ` +
          "Take the profile hosted, or a server of this version.",
      );
    }
    return profile;
  }
  if (speaks) return profileNamed("aha");
  const said = await transport.send({ method: "GET", path: "/" }).then(
    ({ body }) => new TextDecoder().decode(body.subarray(0, 1000)),
    () => "",
  );
  // What SkyRL says of itself; its two back ends say the same.
  if (!said.includes("Tinker API Mock")) return profileNamed("hosted");
  throw new ConfigError(`The server at ${spec.url} is SkyRL: say which, engine.profile: skyrl (JAX) or skyrl-fsdp.`);
}

function requireBaseModel({ baseModel, url }: TinkerSpec, { supported_models: models }: ServerCapabilities): void {
  const names = models.flatMap(({ model_name }) => (model_name == null ? [] : [model_name]));
  if (names.length === 0 || names.includes(baseModel)) return;
  throw new ConfigError(
    `engine.baseModel: the server at ${url} has ${names.slice(0, 20).join(", ")}, not ${JSON.stringify(baseModel)}.`,
  );
}

/** The adapter that is trained. Throws ConfigError for what the server's kind does not have. */
export function adapterOf({ rank }: TinkerSpec, { lora }: PolicySource, profile: TinkerProfile): LoraConfig {
  if (lora === undefined) return { ...NEW_ADAPTER, rank: rank ?? DEFAULT_RANK };
  if (rank !== undefined && rank !== lora.rank) {
    throw new ConfigError(`engine.rank is ${rank} and model.lora.rank ${lora.rank}: leave one of them out.`);
  }
  if (profile.extension) return lora;
  const issues = [
    ...(lora.dropout > 0 ? ["dropout"] : []),
    ...(lora.rsLora ? ["rsLora"] : []),
    ...(lora.alpha !== DEFAULT_LORA_ALPHA ? [`an alpha other than ${DEFAULT_LORA_ALPHA}`] : []),
  ];
  if (issues.length === 0) return lora;
  throw new ConfigError(`model.lora: the Tinker protocol has no ${issues.join(", no ")} (profile ${profile.name}).`);
}

const nameOf = ({ url, baseModel }: TinkerSpec, { name }: TinkerProfile, what: string) =>
  `tinker (${name} at ${new URL(url).host}, ${baseModel}, ${what})`;

/** What is known of the model, from the server and from its files here. Throws EngineError. */
export async function infoOf(
  spec: TinkerSpec,
  folder: Folder,
  { said: { supported_models: models, aha }, profile }: FoundServer,
  what: string,
): Promise<PolicyInfo> {
  const { url, baseModel } = spec;
  const name = nameOf(spec, profile, what);
  const own = aha?.models[baseModel];
  if (own) {
    return {
      name,
      vocabSize: own.vocab_size,
      maxContextTokens: own.max_context_tokens,
      eosTokenIds: own.eos_token_ids,
    };
  }
  if (!(await folder.names()).includes("config.json")) {
    throw new EngineError(
      `The server at ${url} does not say how large the vocabulary of ${baseModel} is, and ${folder.path} has no config.json.`,
    );
  }
  const { vocabSize, maxContextTokens, eosTokenIds } = await readModelConfig(folder);
  const most = models.find(({ model_name }) => model_name === baseModel)?.max_context_length;
  return {
    name,
    vocabSize,
    eosTokenIds,
    maxContextTokens: Math.min(maxContextTokens, most ?? Number.POSITIVE_INFINITY),
  };
}

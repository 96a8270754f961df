/** Opens a policy on a Tinker server: which server it is, what it has, a session and a model there. */

import { ConfigError, EngineError } from "../../errors.ts";
import type { Folder, FolderAt } from "../../folder.ts";
import { readModelConfig } from "../../model/hf-config.ts";
import { ALL_LORA_TARGETS, type LoraConfig } from "../../model/lora.ts";
import { AHA_EXTENSION } from "../../tinker/aha-extension.ts";
import { DEFAULT_LORA_ALPHA } from "../../tinker/requests.ts";
import type { PolicyInfo } from "../contract/policy.ts";
import type { PolicySource } from "../engine-kind.ts";
import { profileNamed, type TinkerProfile } from "./profile.ts";
import { SavedFiles } from "./saved-files.ts";
import { type ServerCapabilities, serverCapabilities, TinkerClient } from "./tinker-client.ts";
import { TinkerPolicy } from "./tinker-policy.ts";
import type { TinkerSpec } from "./tinker-spec.ts";
import { type Clock, fetchWire, REAL_CLOCK, Transport, type Wire } from "./transport.ts";

/** The only place that a key comes from. */
const KEY_VARIABLE = "TINKER_API_KEY";

/** The rank where a recipe says nothing of the adapter. */
const DEFAULT_RANK = 32;

/** What a test puts in the place of the network. */
export interface TinkerSurroundings {
  readonly wire?: Wire;
  readonly clock?: Clock;
  readonly environment?: Readonly<Record<string, string | undefined>>;
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
  {
    wire = fetchWire(spec.url),
    clock = REAL_CLOCK,
    environment = globalThis.process?.env ?? {},
  }: TinkerSurroundings = {},
): Promise<TinkerPolicy> {
  const apiKey = environment[KEY_VARIABLE] || undefined;
  const transport = new Transport({ wire, clock, url: spec.url, apiKey, patienceMs: 1000 * spec.patienceSeconds });
  const server = await serverCapabilities(transport);
  const profile = await profileOf(spec, server, transport);
  requireBaseModel(spec, server);
  const lora = adapterOf(spec, source, profile);
  const info = await infoOf(spec, folderAt(source.path), server, profile, lora);
  const client = await TinkerClient.open(transport);
  try {
    const files = new SavedFiles(folderAt, source.path);
    const parts = { client, profile, info, lora, files, baseModel: spec.baseModel };
    return await TinkerPolicy.open({ ...parts, adapterSeed: source.adapterSeed ?? 0 });
  } catch (error) {
    await client.close();
    throw error;
  }
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

function adapterOf({ rank }: TinkerSpec, { lora }: PolicySource, profile: TinkerProfile): LoraConfig {
  if (lora === undefined) {
    const own = { alpha: DEFAULT_LORA_ALPHA, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };
    return { rank: rank ?? DEFAULT_RANK, ...own };
  }
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

async function infoOf(
  { url, baseModel }: TinkerSpec,
  folder: Folder,
  { supported_models: models, aha }: ServerCapabilities,
  profile: TinkerProfile,
  { rank }: LoraConfig,
): Promise<PolicyInfo> {
  const name = `tinker (${profile.name} at ${new URL(url).host}, ${baseModel}, LoRA of rank ${rank})`;
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

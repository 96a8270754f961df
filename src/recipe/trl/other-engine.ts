/**
 * A TRL recipe on another engine than the embedded one (`--engine`). Of a Tinker server: which one it is, the adapter that it
 * trains where the file trains all weights, and what of the file is the server's own matter there.
 */

import { PROFILE_NAMES, profileNamed, type TinkerProfile } from "../../engine/tinker/profile.ts";
import { ConfigError } from "../../errors.ts";
import type { TrlDraft } from "./conversion.ts";
import type { Launch } from "./launcher.ts";
import { type ServerPlan, skyrlServer } from "./skyrl-server.ts";

/** The engine that is asked for: its kind, and keys of it. */
export type AskedEngine = { readonly kind: string } & Readonly<Record<string, unknown>>;

/** Where a server is looked for that is asked for without any key: where SkyRL and `aha serve` listen by default. */
const DEFAULT_SERVER = { url: "http://127.0.0.1:8000", profile: "skyrl-fsdp" } as const;
/** The adapter in the place of full fine-tuning; the protocol has one α. */
const ADAPTER = { rank: 32, alpha: 32 } as const;

/**
 * Puts the engine into the draft, once all else is in it. Returns the server to start, where it is known how.
 *
 * @throws ConfigError for a profile that there is not, and for keys that the server has no place for
 */
export function setEngine(draft: TrlDraft, asked: AskedEngine, launch: Launch): ServerPlan | undefined {
  if (asked.kind !== "tinker") {
    for (const [key, value] of Object.entries(asked)) draft.put(`engine.${key}`, value);
    return undefined;
  }
  const { kind, ...keys } = asked;
  const isBare = Object.keys(keys).length === 0;
  const baseModel = keys.baseModel ?? draft.settings.text("model_name_or_path");
  const spec: Record<string, unknown> = { kind, ...(isBare && DEFAULT_SERVER), ...keys, baseModel };
  draft.put("engine", spec);
  if (isBare)
    draft.choices.push({ what: "the server", chosen: `engine.url ${spec.url}, engine.profile ${spec.profile}` });
  draft.hasNoEffect("gradient_checkpointing", "the server decides how a step fits into its memory");
  const profile = profileOf(spec.profile);
  setAdapter(draft, spec.rank);
  setBase(draft);
  if (profile === undefined) return undefined;
  setSampling(draft, profile);
  const maxGradNorm = Number(draft.value(draft.at("maxGradNorm")) ?? 0);
  if (profile.clipping === "server" && maxGradNorm > 0) {
    const note = "the server clips (trainer.policy.optimizer_config.max_grad_norm)";
    draft.becomes("max_grad_norm", draft.at("maxGradNorm"), 0, { fallback: maxGradNorm, note });
  }
  if (profile.name !== "skyrl-fsdp" || typeof spec.url !== "string" || !URL.canParse(spec.url)) return undefined;
  return skyrlServer(draft, launch, { baseModel: String(baseModel), url: spec.url, maxGradNorm });
}

function profileOf(name: unknown): TinkerProfile | undefined {
  if (name === undefined) return undefined;
  if (PROFILE_NAMES.some((known) => known === name)) return profileNamed(String(name));
  throw new ConfigError(
    `--engine: there is no profile ${JSON.stringify(name)}; there are ${PROFILE_NAMES.join(", ")}.`,
  );
}

/** An adapter, where the file trains all weights. */
function setAdapter(draft: TrlDraft, rank: unknown): void {
  if (draft.value("model.lora") !== undefined) return;
  const lora = { ...ADAPTER, ...(typeof rank === "number" && { rank }) };
  draft.put("model.lora", lora);
  draft.choices.push({
    what: "the adapter",
    chosen: `model.lora of rank ${lora.rank} and alpha ${lora.alpha}, where the file trains all weights: a Tinker client trains adapters`,
  });
  draft.hasNoEffect("use_peft", "a Tinker client trains adapters");
}

/** How the base is held is the server's matter. */
function setBase(draft: TrlDraft): void {
  if (draft.value("model.quantization") === undefined) return;
  draft.put("model.quantization", undefined);
  for (const key of ["load_in_4bit", "bnb_4bit_quant_type", "use_bnb_nested_quant"]) {
    draft.hasNoEffect(key, "how the base is held is the server's own matter");
  }
}

/** What servers without Aha's extension train by: the whole distribution at temperature 1. */
const PLAIN_SAMPLING = [
  ["temperature", "temperature", 1],
  ["top_p", "topP", 1],
  ["top_k", "topK", 0],
] as const;

/** Sampling as such a server also scores and trains it, where the file samples otherwise. */
function setSampling(draft: TrlDraft, { extension, name }: TinkerProfile): void {
  if (extension) return;
  for (const [key, own, plain] of PLAIN_SAMPLING) {
    const value = draft.value(draft.at(own));
    if (value === undefined || value === plain) continue;
    const note = `${String(value)} in TRL; a server of the profile ${name} trains by the whole distribution at temperature 1`;
    draft.becomes(key, draft.at(own), plain, { fallback: value, note });
  }
}

/** The form of an adapter as clients of the protocol ask for it, and are told of it. */

import {
  ALL_LORA_TARGETS,
  ATTENTION_TARGETS,
  type LoraConfig,
  type LoraTarget,
  MLP_TARGETS,
} from "../../model/lora.ts";
import { DEFAULT_LORA_ALPHA, type RequestBody } from "../../tinker/requests.ts";
import type { TinkerLimits } from "./limits.ts";
import { RequestFailure } from "./refusal.ts";

/** The adapter that a request asks for. Throws RequestFailure for one that this server does not have. */
export function loraOf(
  given: RequestBody<"create_model">["lora_config"],
  { mostRank }: Pick<TinkerLimits, "mostRank">,
): LoraConfig {
  if (given == null) throw new RequestFailure("This server trains adapters: give a lora_config with a rank.");
  if (given.rank > mostRank) {
    throw new RequestFailure(`The rank ${given.rank} is above ${mostRank}, the largest of this server.`);
  }
  if (given.aha) {
    const { alpha, dropout, rs_lora: rsLora, targets } = given.aha;
    const unknown = targets.find((target) => !(ALL_LORA_TARGETS as string[]).includes(target));
    if (unknown !== undefined) throw new RequestFailure(`There is no projection ${JSON.stringify(unknown)}.`);
    return { rank: given.rank, alpha, dropout, rsLora, targets: targets as LoraTarget[] };
  }
  const targets = [...(given.train_attn ? ATTENTION_TARGETS : []), ...(given.train_mlp ? MLP_TARGETS : [])];
  if (targets.length === 0) {
    throw new RequestFailure("This server has no adapter on the head: train_attn or train_mlp has to be true.");
  }
  return { rank: given.rank, alpha: given.alpha ?? DEFAULT_LORA_ALPHA, dropout: 0, rsLora: false, targets };
}

/** What weights_info says. */
export function weightsInfo(baseModel: string, lora: LoraConfig): object {
  const trains = (targets: readonly LoraTarget[]) => targets.some((target) => lora.targets.includes(target));
  return {
    base_model: baseModel,
    is_lora: true,
    lora_rank: lora.rank,
    train_unembed: false,
    train_mlp: trains(MLP_TARGETS),
    train_attn: trains(ATTENTION_TARGETS),
  };
}

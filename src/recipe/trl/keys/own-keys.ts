/** Keys that several trainers of TRL have in their own tables, and that mean nothing to any of them here. */

import { type KeyEntry, nothing } from "../rule.ts";

/** Of transformers' Trainer, for the losses that it computes itself. */
export const OWN_LOSS_KEYS: readonly KeyEntry[] = nothing(
  "of the trainer's own loss, which this one does not use",
  "label_smoothing_factor",
  "past_index",
);

/** Of trainers that sample. */
export const SAMPLER_KEYS: readonly KeyEntry[] = [
  ...nothing(
    "no vLLM: the engine that trains also samples, on the same weights",
    "use_vllm",
    "vllm_enable_sleep_mode",
    "vllm_gpu_memory_utilization",
    "vllm_group_port",
    "vllm_max_model_length",
    "vllm_mode",
    "vllm_model_impl",
    "vllm_server_base_url",
    "vllm_server_host",
    "vllm_server_port",
    "vllm_server_timeout",
    "vllm_sync_frequency",
    "vllm_tensor_parallel_size",
  ),
  ...nothing("the engine keeps its own key-value cache", "cache_implementation"),
  ...nothing("one process computes: no ZeRO, no sharding, no ranks", "ds3_gather_for_generation"),
  ...OWN_LOSS_KEYS,
];

/**
 * The SkyRL server that takes the place of what a TRL recipe was launched with: DeepSpeed or FSDP over the GPUs, and vLLM. Its
 * configuration is one JSON object of dotted keys, made of accelerate's file and of the training file's keys for vLLM.
 *
 * Read in SkyRL's source (0.4, FSDP and Megatron), not run: there was no such machine.
 */

import { ConfigError } from "../../errors.ts";
import { quoted, shellWord } from "../../shell-word.ts";
import { isMapping } from "../../strict-schema.ts";
import type { TrlDraft, TrlKeyLine } from "./conversion.ts";
import type { Launch } from "./launcher.ts";
import { shown } from "./settings.ts";

/** A server to start, and what became of the launcher's keys. */
export interface ServerPlan {
  /** For people: the lines of the command that starts it. */
  readonly command: readonly string[];
  /** In the place of the launcher's. */
  readonly launcherKeys: readonly TrlKeyLine[];
}

/** What one key of the launcher becomes: values of the server's by their keys, and what is to be said. */
interface Becomes {
  readonly values: Readonly<Record<string, unknown>>;
  readonly note?: string;
}

const FSDP = "trainer.policy.fsdp_config";
const MEGATRON = "trainer.policy.megatron_config";
const PLACEMENT = "trainer.placement";
const OPTIMIZER = "trainer.policy.optimizer_config";
const ENGINE = "generator.inference_engine";

const nothing = (note: string): Becomes => ({ values: {}, note });

/** What is offloaded goes to the CPU's memory. Throws ConfigError for a disk. */
function offload(key: string): (value: unknown) => Becomes {
  return (value) => {
    if (value === "none") return nothing("nothing is offloaded");
    if (value === "cpu") return { values: { [`${FSDP}.cpu_offload`]: true } };
    throw new ConfigError(
      `${key}: ${shown(value)} is not supported: SkyRL offloads to the CPU's memory (cpu), or not (none).`,
    );
  };
}

/** The launcher's keys, those below deepspeed_config with their prefix, that the server has a place for. */
const KEYS: Readonly<Record<string, (value: unknown) => Becomes>> = {
  num_machines: (value) => ({ values: { [`${PLACEMENT}.policy_num_nodes`]: Number(value) } }),
  mixed_precision: (value) =>
    value === "bf16"
      ? { values: { [`${ENGINE}.model_dtype`]: "bfloat16" }, note: "training is in bfloat16 by itself" }
      : nothing("SkyRL trains in bfloat16"),
  distributed_type: (value) =>
    value === "MEGATRON_LM" ? nothing("--backend megatron") : nothing("--backend fsdp, whatever sharded before"),
  "deepspeed_config.zero_stage": (value) => ({
    values: { [`${FSDP}.reshard_after_forward`]: Number(value) >= 3 },
    note: Number(value) >= 3 ? "ZeRO-3: weights are sharded too" : "weights stay whole after the forward pass",
  }),
  "deepspeed_config.offload_param_device": offload("deepspeed_config.offload_param_device"),
  "deepspeed_config.offload_optimizer_device": offload("deepspeed_config.offload_optimizer_device"),
  fsdp_config: (value) => ({
    values: isMapping(value) && value.fsdp_offload_params === true ? { [`${FSDP}.cpu_offload`]: true } : {},
    note: "fsdp_offload_params; the rest is SkyRL's own",
  }),
  megatron_lm_config: (value) => {
    const own = isMapping(value) ? value : {};
    const [tensor, pipeline] = [own.megatron_lm_tp_degree, own.megatron_lm_pp_degree].map((degree) =>
      Number(degree ?? 1),
    );
    return {
      values: {
        [`${MEGATRON}.tensor_model_parallel_size`]: tensor,
        [`${MEGATRON}.pipeline_model_parallel_size`]: pipeline,
      },
    };
  },
};

const OWN_PROCESSES = "the server starts processes of its own";

/**
 * The server for a draft whose engine is set.
 *
 * @throws ConfigError for a value of the launcher's that it has no place for
 */
export function skyrlServer(
  draft: TrlDraft,
  launch: Launch,
  { baseModel, url, maxGradNorm }: { readonly baseModel: string; readonly url: string; readonly maxGradNorm: number },
): ServerPlan {
  const values: Record<string, unknown> = {};
  const nodes = Number(launch.lines.find(({ key }) => key === "num_machines")?.value ?? 1);
  values[`${PLACEMENT}.policy_num_gpus_per_node`] = Math.max(1, Math.round(launch.numProcesses / nodes));
  const launcherKeys = launch.lines.map((line): TrlKeyLine => {
    if (line.key === "num_processes") {
      return serverLine(
        line,
        { [`${PLACEMENT}.policy_num_gpus_per_node`]: launch.numProcesses / nodes },
        "and the batch",
      );
    }
    if (line.key === "deepspeed_config.gradient_clipping") {
      return serverLine(line, { [`${OPTIMIZER}.max_grad_norm`]: maxGradNorm }, "the server clips");
    }
    const become = KEYS[line.key]?.(line.value);
    if (become === undefined) return line.path === null ? { ...line, note: OWN_PROCESSES } : line;
    Object.assign(values, become.values);
    return serverLine(line, become.values, become.note ?? "");
  });
  Object.assign(values, samplerValues(draft, launch.numProcesses));
  values[`${OPTIMIZER}.max_grad_norm`] = maxGradNorm;
  values[`${OPTIMIZER}.weight_decay`] = draft.value(draft.at("weightDecay"));
  values[`${OPTIMIZER}.adam_betas`] = [draft.value(draft.at("beta1")), draft.value(draft.at("beta2"))];
  const backend = launch.lines.some(({ key, value }) => key === "distributed_type" && value === "MEGATRON_LM")
    ? "megatron"
    : "fsdp";
  return { command: commandLines(baseModel, backend, url, values), launcherKeys };
}

/** Where vLLM is: on GPUs of its own, as TRL has it with a device or a server for it, else on those that train. */
function samplerValues(draft: TrlDraft, gpus: number): Record<string, unknown> {
  const { written } = draft.settings;
  const usesVllm = written.get("use_vllm") === true;
  const isApart = usesVllm && written.get("vllm_mode") !== "colocate";
  const parallel = Math.max(1, Number(written.get("vllm_tensor_parallel_size") ?? 1));
  const engines = isApart ? 1 : Math.max(1, Math.floor(gpus / parallel));
  const values: Record<string, unknown> = {
    [`${PLACEMENT}.colocate_all`]: !isApart,
    [`${ENGINE}.num_engines`]: engines,
    [`${ENGINE}.tensor_parallel_size`]: parallel,
  };
  const says = (key: string, name: string, value: unknown, note = "") => {
    if (written.has(key)) draft.goesTo(key, `the server: ${name}`, value, { note });
  };
  says("use_vllm", `${PLACEMENT}.colocate_all`, !isApart, usesVllm ? "" : "SkyRL always samples with vLLM");
  if (usesVllm) {
    const share = Number(written.get("vllm_gpu_memory_utilization") ?? Number.NaN);
    if (share > 0) values[`${ENGINE}.gpu_memory_utilization`] = share;
    says("vllm_gpu_memory_utilization", `${ENGINE}.gpu_memory_utilization`, share);
    says("vllm_tensor_parallel_size", `${ENGINE}.tensor_parallel_size`, parallel);
    for (const key of ["vllm_device", "vllm_mode"]) says(key, `${PLACEMENT}.colocate_all`, !isApart);
  }
  return values;
}

/** A line of the launcher's with what it becomes on the server. */
function serverLine(line: TrlKeyLine, values: Readonly<Record<string, unknown>>, note: string): TrlKeyLine {
  const names = Object.keys(values);
  if (names.length === 0) return { ...line, path: null, note };
  const { recipeValue: _, ...rest } = line;
  const single = names.length === 1 ? { recipeValue: values[names[0]!] } : {};
  return { ...rest, path: `the server: ${names.join(", ")}`, ...single, note };
}

function commandLines(
  baseModel: string,
  backend: string,
  url: string,
  values: Readonly<Record<string, unknown>>,
): string[] {
  const { port, protocol } = new URL(url);
  const pairs = Object.entries(values)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `    ${JSON.stringify(key)}: ${JSON.stringify(value)}`);
  // Names and values come from a file that others wrote, and people paste the command into a shell.
  const config = quoted(`{\n${pairs.join(",\n")}}`);
  const command =
    `uv run --extra tinker --extra ${backend} -m skyrl.tinker.api --base-model ${shellWord(baseModel)} --backend ${backend} \\\n` +
    `  --host 127.0.0.1 --port ${port || (protocol === "https:" ? 443 : 80)} --backend-config ${config}`;
  return command.split("\n");
}

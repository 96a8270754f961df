/** Opens models in this process: a checkpoint's weights are brought to the device, packed where that is asked for. */

import { resolve } from "node:path";
import type { Device } from "../../compute/device.ts";
import { EngineError } from "../../errors.ts";
import { checkTiedHead, type OpenCheckpoint, openCheckpoint } from "../../model/checkpoint.ts";
import type { WeightForm } from "../../model/decoder-parameters.ts";
import { toBfloat16 } from "../../model/float-formats.ts";
import { storedHead } from "../../model/hf-config.ts";
import { adapterSpecs, initializeAdapter, type LoraConfig } from "../../model/lora.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { elementCount, type ParameterSpec, type ParameterValues, parameterSpecs } from "../../model/parameters.ts";
import { loadPeftAdapter } from "../../model/peft-adapter.ts";
import { nf4From, quantizeNf4 } from "../../model/quantization.ts";
import type { PolicySource, RewardModelSource, SharedSource } from "../engine-kind.ts";
import { DISK_STORE } from "./disk-store.ts";
import { type GivenLimits, limitsFrom } from "./limits.ts";
import { LocalPolicy } from "./local-policy.ts";
import { LocalRewardModel } from "./local-reward-model.ts";
import { takingTurns } from "./turns-on-device.ts";
import { DenseWeights, ModelWeights } from "./weights.ts";

/** Elements that are packed at once: whole blocks of every format. */
const PIECE_ELEMENTS = 2 ** 20;

/**
 * A policy for a model in the Hugging Face layout.
 *
 * @throws CheckpointError for a directory that is no model, or an adapter that does not fit it; EngineError for two adapters.
 */
export async function openLocalPolicy(
  device: Device,
  { path, quantization, ...adapter }: PolicySource,
  limits: GivenLimits = {},
): Promise<LocalPolicy> {
  const [policy] = await openPolicies(device, { path, quantization }, [adapter], limits);
  return policy!;
}

/**
 * Policies for several adapters of one model, whose weights are read and held once; they take turns on the device. None
 * of them trains the model itself.
 *
 * @throws CheckpointError for a directory that is no model, or an adapter that does not fit it.
 */
export async function openLocalPolicies(
  device: Device,
  { adapters, ...source }: SharedSource,
  limits: GivenLimits = {},
): Promise<readonly LocalPolicy[]> {
  const wanted = adapters.map((adapter) => ({ adapter }));
  return openPolicies(takingTurns(device), source, wanted, limits);
}

type AdapterSource = Pick<PolicySource, "lora" | "adapter" | "adapterSeed">;

async function openPolicies(
  device: Device,
  { path, quantization }: Pick<PolicySource, "path" | "quantization">,
  adapters: readonly AdapterSource[],
  limits: GivenLimits,
): Promise<LocalPolicy[]> {
  const checkpoint = await openCheckpoint(path);
  const { config } = checkpoint;
  try {
    // Before the weights: of an adapter that does not fit the user hears at once.
    const opened = [];
    for (const adapter of adapters) opened.push(await openAdapter(config, adapter));
    const base = await readWeights(device, checkpoint, { quantization });
    const sharesBase = adapters.length > 1;
    const policies: LocalPolicy[] = [];
    for (const [i, adapter] of opened.entries()) {
      const form: WeightForm = { lora: adapter?.lora, quantization };
      const trained =
        adapter && (await DenseWeights.from(device, adapterSpecs(config, adapter.lora), valuesIn(adapter.values)));
      const dropoutSeed = adapters[i]!.adapterSeed ?? 0;
      const weights = { model: i === 0 ? base : base.shared(), adapter: trained };
      const model = { config, form, weights, base: resolve(path), store: DISK_STORE, dropoutSeed, sharesBase };
      policies.push(await LocalPolicy.open(device, model, limitsFrom(limits)));
    }
    return policies;
  } finally {
    await checkpoint.close();
  }
}

/**
 * A reward model in the Hugging Face layout (`*ForSequenceClassification`, one label), or a new one of a language model,
 * whose token head gives way to a score that is 0 for every text: the first step decides its direction, not chance.
 *
 * @throws CheckpointError for a directory that is neither.
 */
export async function openLocalRewardModel(
  device: Device,
  { path, padTokenId = null }: RewardModelSource,
  limits: GivenLimits = {},
): Promise<LocalRewardModel> {
  const head = await storedHead(path);
  const checkpoint = await openCheckpoint(path, head);
  try {
    const { config, fileOf } = checkpoint;
    const write = async ({ name, checkpointName }: ParameterSpec, values: Float32Array) => {
      if (name === "score" && head === "tokens") values.fill(0);
      else await fileOf.get(checkpointName)!.readInto(checkpointName, values);
    };
    const weights = await DenseWeights.from(device, parameterSpecs(config, "score"), write);
    const padded = { ...config, padTokenId: config.padTokenId ?? padTokenId };
    return new LocalRewardModel(device, padded, weights, limitsFrom(limits), DISK_STORE);
  } finally {
    await checkpoint.close();
  }
}

async function openAdapter(
  config: ModelConfig,
  { lora, adapter, adapterSeed: seed = 0 }: AdapterSource,
): Promise<{ readonly lora: LoraConfig; readonly values: ParameterValues } | undefined> {
  if (lora && adapter !== undefined) {
    throw new EngineError(`Give either a new adapter (lora) or the one in ${adapter}, not both.`);
  }
  if (adapter !== undefined) return loadPeftAdapter(adapter, config);
  return lora && { lora, values: initializeAdapter(config, lora, { seed }) };
}

function valuesIn(known: ParameterValues) {
  return ({ name }: ParameterSpec, values: Float32Array) => values.set(known.get(name)!);
}

/** The checkpoint's weights in the form in which they are held; what is packed passes through a small piece of memory. */
async function readWeights(device: Device, checkpoint: OpenCheckpoint, form: WeightForm): Promise<ModelWeights> {
  const { config, fileOf } = checkpoint;
  const piece = new Float32Array(form.quantization === undefined ? 0 : PIECE_ELEMENTS);
  const inPieces = async (
    { checkpointName, shape }: ParameterSpec,
    pack: (values: Float32Array, first: number) => void,
  ) => {
    const elements = elementCount(shape);
    for (let first = 0; first < elements; first += piece.length) {
      const values = piece.subarray(0, Math.min(piece.length, elements - first));
      await fileOf.get(checkpointName)!.readElements(checkpointName, first, values);
      pack(values, first);
    }
  };
  const weights = await ModelWeights.from(device, config, form, {
    float32: ({ checkpointName }, target) => fileOf.get(checkpointName)!.readInto(checkpointName, target),
    bfloat16: (spec, target) =>
      inPieces(spec, (values, first) => toBfloat16(values, target.subarray(first, first + values.length))),
    nf4: async (spec, target) => {
      // A checkpoint that is packed in the same way keeps its codes.
      if (await fileOf.get(spec.checkpointName)!.readNf4?.(spec.checkpointName, target)) return;
      await inPieces(spec, (values, first) => quantizeNf4(values, nf4From(target, first)));
    },
  });
  try {
    await checkTiedHead(checkpoint);
  } catch (error) {
    weights.dispose();
    throw error;
  }
  return weights;
}

/** Opens models in this process: a checkpoint's weights are brought to the device, packed where that is asked for. */

import type { Device } from "../../compute/device.ts";
import { EngineError } from "../../errors.ts";
import type { FolderAt } from "../../folder.ts";
import { checkTiedHead, type OpenCheckpoint, openCheckpointIn } from "../../model/checkpoint.ts";
import type { WeightForm } from "../../model/decoder-parameters.ts";
import { toBfloat16 } from "../../model/float-formats.ts";
import { storedHead } from "../../model/hf-config.ts";
import { adapterSpecs, initializeAdapter, type LoraConfig } from "../../model/lora.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { elementCount, type ParameterSpec, type ParameterValues, parameterSpecs } from "../../model/parameters.ts";
import { readPeftAdapter } from "../../model/peft-adapter.ts";
import { nf4From, quantizeNf4 } from "../../model/quantization.ts";
import type { PolicySource, RewardModelSource, SharedSource } from "../engine-kind.ts";
import { folderStore } from "./folder-store.ts";
import { type GivenLimits, limitsFrom } from "./limits.ts";
import { LocalPolicy } from "./local-policy.ts";
import { LocalRewardModel } from "./local-reward-model.ts";
import { takingTurns } from "./turns-on-device.ts";
import { DenseWeights, ModelWeights } from "./weights.ts";

/** What models are opened with: a device, and the folders where they are. */
export interface LocalSurroundings {
  readonly device: Device;
  readonly folderAt: FolderAt;
}

/** Elements that are packed at once: whole blocks of every format. */
const PIECE_ELEMENTS = 2 ** 20;

/**
 * A policy for a model in the Hugging Face layout.
 *
 * @throws CheckpointError for a directory that is no model, or an adapter that does not fit it; EngineError for two adapters.
 */
export async function openLocalPolicy(
  surroundings: LocalSurroundings,
  { path, quantization, ...adapter }: PolicySource,
  limits: GivenLimits = {},
): Promise<LocalPolicy> {
  const [policy] = await openPolicies(surroundings, { path, quantization }, [adapter], limits);
  return policy!;
}

/**
 * Policies for several adapters of one model, whose weights are read and held once; they take turns on the device. None
 * of them trains the model itself.
 *
 * @throws CheckpointError for a directory that is no model, or an adapter that does not fit it.
 */
export async function openLocalPolicies(
  { device, folderAt }: LocalSurroundings,
  { adapters, ...source }: SharedSource,
  limits: GivenLimits = {},
): Promise<readonly LocalPolicy[]> {
  const wanted = adapters.map((adapter) => ({ adapter }));
  return openPolicies({ device: takingTurns(device), folderAt }, source, wanted, limits);
}

type AdapterSource = Pick<PolicySource, "lora" | "adapter" | "adapterSeed">;

async function openPolicies(
  { device, folderAt }: LocalSurroundings,
  { path, quantization }: Pick<PolicySource, "path" | "quantization">,
  adapters: readonly AdapterSource[],
  limits: GivenLimits,
): Promise<LocalPolicy[]> {
  const folder = folderAt(path);
  const checkpoint = await openCheckpointIn(folder);
  const { config } = checkpoint;
  try {
    // This is checked before the weights are read, so that the error for an adapter that does not fit comes
    // immediately.
    const opened = [];
    for (const adapter of adapters) opened.push(await openAdapter(config, adapter, folderAt));
    const base = await readWeights(device, checkpoint, { quantization });
    const sharesBase = adapters.length > 1;
    const policies: LocalPolicy[] = [];
    for (const [i, adapter] of opened.entries()) {
      const form: WeightForm = { lora: adapter?.lora, quantization };
      const trained =
        adapter && (await DenseWeights.from(device, adapterSpecs(config, adapter.lora), valuesIn(adapter.values)));
      const dropoutSeed = adapters[i]!.adapterSeed ?? 0;
      const weights = { model: i === 0 ? base : base.shared(), adapter: trained };
      const model = { config, form, weights, base: folder.path, store: folderStore(folderAt), dropoutSeed, sharesBase };
      policies.push(await LocalPolicy.open(device, model, limitsFrom(limits)));
    }
    return policies;
  } finally {
    await checkpoint.close();
  }
}

/**
 * A reward model in the Hugging Face layout (`*ForSequenceClassification`, one label), or a new one of a language
 * model, whose token head is replaced by a score head of zeros. Every text then has the reward 0, so the data of the
 * first step decide the direction of the score, not random numbers.
 *
 * @throws CheckpointError for a directory that is neither.
 */
export async function openLocalRewardModel(
  { device, folderAt }: LocalSurroundings,
  { path, padTokenId = null }: RewardModelSource,
  limits: GivenLimits = {},
): Promise<LocalRewardModel> {
  const folder = folderAt(path);
  const head = await storedHead(folder);
  const checkpoint = await openCheckpointIn(folder, head);
  try {
    const { config, fileOf } = checkpoint;
    const write = async ({ name, checkpointName }: ParameterSpec, values: Float32Array) => {
      if (name === "score" && head === "tokens") values.fill(0);
      else await fileOf.get(checkpointName)!.readInto(checkpointName, values);
    };
    const weights = await DenseWeights.from(device, parameterSpecs(config, "score"), write);
    const padded = { ...config, padTokenId: config.padTokenId ?? padTokenId };
    return new LocalRewardModel(device, padded, weights, limitsFrom(limits), folderStore(folderAt));
  } finally {
    await checkpoint.close();
  }
}

async function openAdapter(
  config: ModelConfig,
  { lora, adapter, adapterSeed: seed = 0 }: AdapterSource,
  folderAt: FolderAt,
): Promise<{ readonly lora: LoraConfig; readonly values: ParameterValues } | undefined> {
  if (lora && adapter !== undefined) {
    throw new EngineError(`Give either a new adapter (lora) or the one in ${adapter}, not both.`);
  }
  if (adapter !== undefined) return readPeftAdapter(folderAt(adapter), config);
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

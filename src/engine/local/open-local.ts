/** Opens models in this process: a checkpoint's weights are brought to the device, packed where that is asked for. */

import type { Device } from "../../compute/device.ts";
import { requireDType } from "../../compute/device-dtype.ts";
import { EngineError } from "../../errors.ts";
import { toHalf } from "../../float-formats.ts";
import type { FolderAt } from "../../folder.ts";
import { type FloatDType, isHalf } from "../../graph/tensor-type.ts";
import { checkTiedHead, type OpenCheckpoint, openCheckpointIn } from "../../model/checkpoint.ts";
import type { WeightForm } from "../../model/decoder-parameters.ts";
import { storedHead } from "../../model/hf-config.ts";
import { adapterSpecs, initializeAdapter, type LoraConfig } from "../../model/lora.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { elementCount, type ParameterSpec, type ParameterValues, parameterSpecs } from "../../model/parameters.ts";
import { readPeftAdapter } from "../../model/peft-adapter.ts";
import { nf4From, quantizeNf4, storageOf } from "../../model/quantization.ts";
import type { PolicySource, RewardModelSource, SharedBase, SharedSource } from "../engine-kind.ts";
import { folderStore } from "./folder-store.ts";
import { type GivenLimits, type LocalLimits, limitsFrom } from "./limits.ts";
import { LocalPolicy } from "./local-policy.ts";
import { LocalRewardModel } from "./local-reward-model.ts";
import { PolicyPrograms } from "./policy-programs.ts";
import type { InitialWeights } from "./policy-weights.ts";
import { takingTurns } from "./turns-on-device.ts";
import { DenseWeights, ModelWeights, type WriteModel } from "./weights.ts";

/** What models are opened with: a device, and the folders where they are. */
export interface LocalSurroundings {
  readonly device: Device;
  /** Dtype of the trunk; float32 if absent. */
  readonly dtype?: FloatDType | undefined;
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
  { device, dtype, folderAt }: LocalSurroundings,
  { path, quantization, samples, ...adapter }: PolicySource,
  limits: GivenLimits = {},
): Promise<LocalPolicy> {
  const folder = folderAt(path);
  const checkpoint = await openCheckpointIn(folder);
  const { config } = checkpoint;
  try {
    // This is checked before the weights are read, so that the error for an adapter that does not fit comes
    // immediately.
    const opened = await openAdapter(config, adapter, folderAt);
    await requireDType(device, dtype ?? "float32", { samples: samples !== false });
    const form: WeightForm = { lora: opened?.lora, quantization, dtype };
    const weights = await policyWeights(device, config, await readWeights(device, checkpoint, form), opened);
    const dropoutSeed = adapter.adapterSeed ?? 0;
    const model = { config, form, weights, base: folder.path, store: folderStore(folderAt), dropoutSeed };
    return await LocalPolicy.open(device, model, limitsFrom(limits));
  } finally {
    await checkpoint.close();
  }
}

/**
 * Policies for several adapters of one model, whose weights are read and held once; they take turns on the device. None
 * of them trains the model itself.
 *
 * @throws CheckpointError for a directory that is no model, or an adapter that does not fit it.
 */
export async function openLocalPolicies(
  surroundings: LocalSurroundings,
  { adapters, ...source }: SharedSource,
  limits: GivenLimits = {},
): Promise<readonly LocalPolicy[]> {
  const { folderAt } = surroundings;
  const checkpoint = await openCheckpointIn(folderAt(source.path));
  try {
    // This is checked before the weights are read, so that the error for an adapter that does not fit comes
    // immediately.
    const opened = [];
    for (const adapter of adapters) opened.push(await openAdapter(checkpoint.config, { adapter }, folderAt));
    const base = await LocalBase.read(surroundings, checkpoint, source, limits);
    const policies: LocalPolicy[] = [];
    for (const adapter of opened) policies.push(await base.openOver(adapter, 0));
    base.dispose();
    return policies;
  } finally {
    await checkpoint.close();
  }
}

/**
 * A model whose weights are read and held once, for policies over it that come and go; they take turns on the device.
 *
 * @throws CheckpointError for a directory that is no model.
 */
export async function openLocalBase(
  surroundings: LocalSurroundings,
  source: Pick<PolicySource, "path" | "quantization">,
  limits: GivenLimits = {},
): Promise<SharedBase> {
  const checkpoint = await openCheckpointIn(surroundings.folderAt(source.path));
  try {
    return await LocalBase.read(surroundings, checkpoint, source, limits);
  } finally {
    await checkpoint.close();
  }
}

type AdapterSource = Pick<PolicySource, "lora" | "adapter" | "adapterSeed">;
type OpenedAdapter = { readonly lora: LoraConfig; readonly values: ParameterValues } | undefined;

class LocalBase implements SharedBase {
  readonly #device: Device;
  readonly #folderAt: FolderAt;
  readonly #config: ModelConfig;
  readonly #dtype: FloatDType | undefined;
  readonly #source: Pick<PolicySource, "path" | "quantization">;
  readonly #weights: ModelWeights;
  readonly #limits: LocalLimits;
  /** By form: whoever comes first compiles, all others wait for that. The base holds those of the last few forms. */
  readonly #programs = new Map<string, Promise<PolicyPrograms>>();
  #disposed = false;

  private constructor(
    { device, dtype, folderAt }: LocalSurroundings,
    config: ModelConfig,
    source: Pick<PolicySource, "path" | "quantization">,
    weights: ModelWeights,
    limits: GivenLimits,
  ) {
    this.#device = device;
    this.#folderAt = folderAt;
    this.#config = config;
    this.#dtype = dtype;
    this.#source = source;
    this.#weights = weights;
    this.#limits = limitsFrom(limits);
  }

  static async read(
    { device, dtype, folderAt }: LocalSurroundings,
    checkpoint: OpenCheckpoint,
    source: Pick<PolicySource, "path" | "quantization">,
    limits: GivenLimits,
  ): Promise<LocalBase> {
    const shared = takingTurns(device);
    await requireDType(shared, dtype ?? "float32");
    const weights = await readWeights(shared, checkpoint, { ...source, dtype }, { frozen: true });
    return new LocalBase({ device: shared, dtype, folderAt }, checkpoint.config, source, weights, limits);
  }

  async open(adapter: AdapterSource): Promise<LocalPolicy> {
    return this.openOver(await openAdapter(this.#config, adapter, this.#folderAt), adapter.adapterSeed ?? 0);
  }

  async openOver(adapter: OpenedAdapter, dropoutSeed: number): Promise<LocalPolicy> {
    if (this.#disposed) throw new EngineError("This base was disposed of; open another one.");
    const { path, quantization } = this.#source;
    const form: WeightForm = { lora: adapter?.lora, quantization, dtype: this.#dtype };
    const weights = await policyWeights(this.#device, this.#config, this.#weights.shared(), adapter);
    try {
      const programs = await this.#programsOf(form);
      const store = folderStore(this.#folderAt);
      const model = { config: this.#config, form, weights, base: this.#folderAt(path).path, store, dropoutSeed };
      return await LocalPolicy.open(this.#device, { ...model, sharesBase: true }, this.#limits, programs);
    } catch (error) {
      weights.model.dispose();
      weights.adapter?.dispose();
      throw error;
    }
  }

  dispose(): void {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#weights.dispose();
    for (const programs of this.#programs.values()) letGo(programs);
  }

  async #programsOf(form: WeightForm): Promise<PolicyPrograms> {
    const key = JSON.stringify(form);
    const programs = this.#programs.get(key) ?? PolicyPrograms.compile(this.#device, this.#config, form, this.#limits);
    // The last one in the map is the one that was asked for last.
    this.#programs.delete(key);
    this.#programs.set(key, programs);
    for (const [other, old] of this.#programs) {
      if (this.#programs.size <= HELD_FORMS) break;
      this.#programs.delete(other);
      letGo(old);
    }
    try {
      return (await programs).shared();
    } catch (error) {
      this.#programs.delete(key);
      throw error;
    }
  }
}

/** Forms whose programs are held though no policy has them. */
const HELD_FORMS = 4;

/** Those that could not be compiled were reported to whoever asked for them. */
function letGo(programs: Promise<PolicyPrograms>): void {
  programs.then(
    (held) => held.dispose(),
    () => {},
  );
}

async function policyWeights(
  device: Device,
  config: ModelConfig,
  model: ModelWeights,
  adapter: OpenedAdapter,
): Promise<InitialWeights> {
  try {
    const specs = adapter && adapterSpecs(config, adapter.lora);
    return { model, adapter: specs && (await DenseWeights.from(device, specs, valuesIn(adapter.values))) };
  } catch (error) {
    model.dispose();
    throw error;
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
  { device, dtype = "float32", folderAt }: LocalSurroundings,
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
    await requireDType(device, dtype, { samples: false });
    const dtypeOf = (spec: ParameterSpec) => storageOf(spec, { dtype }) as FloatDType;
    const weights = await DenseWeights.from(device, parameterSpecs(config, "score"), write, dtypeOf);
    const padded = { ...config, padTokenId: config.padTokenId ?? padTokenId };
    return new LocalRewardModel(device, { config: padded, dtype }, weights, limitsFrom(limits), folderStore(folderAt));
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
async function readWeights(
  device: Device,
  checkpoint: OpenCheckpoint,
  form: WeightForm,
  options: { readonly frozen?: boolean } = {},
): Promise<ModelWeights> {
  const { config, fileOf } = checkpoint;
  const isPacked = form.quantization !== undefined || isHalf(form.dtype ?? "float32");
  const piece = new Float32Array(isPacked ? PIECE_ELEMENTS : 0);
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
  const write: WriteModel = {
    float32: ({ checkpointName }, target) => fileOf.get(checkpointName)!.readInto(checkpointName, target),
    half: (spec, target, dtype) =>
      inPieces(spec, (values, first) => toHalf(dtype)(values, target.subarray(first, first + values.length))),
    nf4: async (spec, target) => {
      // A checkpoint that is packed in the same way keeps its codes.
      if (await fileOf.get(spec.checkpointName)!.readNf4?.(spec.checkpointName, target)) return;
      await inPieces(spec, (values, first) => quantizeNf4(values, nf4From(target, first)));
    },
  };
  const weights = await ModelWeights.from(device, config, form, write, options);
  try {
    await checkTiedHead(checkpoint);
  } catch (error) {
    weights.dispose();
    throw error;
  }
  return weights;
}

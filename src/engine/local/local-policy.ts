/**
 * The embedded engine's policy: one process, one set of weights. The sampler reads the same tensors that the optimizer
 * writes, so there is no second copy, no synchronisation, and no difference between the policy that samples and the one
 * that learns beyond the rounding of two attention kernels. Verbs that are called while one runs wait for their turn.
 */

import type { Device } from "../../compute/device.ts";
import { EngineError } from "../../errors.ts";
import { engineLossNames } from "../../losses/engine-losses.ts";
import type { LossSpec } from "../../losses/loss-spec.ts";
import { trainedSpecs, type WeightForm } from "../../model/decoder-parameters.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import { elementCount, parameterSpecs } from "../../model/parameters.ts";
import type { Capabilities } from "../contract/capabilities.ts";
import type {
  AdamParams,
  Datum,
  ForwardBackwardResult,
  Policy,
  PolicyInfo,
  PolicyName,
  StepResult,
} from "../contract/policy.ts";
import type {
  Sampler as ContractSampler,
  SampledSequence,
  SampleProgress,
  ScoreDatum,
  ScoreOptions,
  ScoreResult,
} from "../contract/sampler.ts";
import type { SamplePrompt, SamplingParams } from "../contract/sampling.ts";
import type { SamplingSession } from "../contract/session.ts";
import { VerbTurns } from "../turns.ts";
import type { LocalLimits } from "./limits.ts";
import { LocalSession } from "./local-session.ts";
import type { ModelStore, StoredModel } from "./model-store.ts";
import type { PendingResults } from "./pending-results.ts";
import { PolicyPrograms } from "./policy-programs.ts";
import { type InitialWeights, PolicyWeights } from "./policy-weights.ts";
import { requireData, requireLoss, requireMixup, requireSampling, requireTemperature } from "./requests.ts";
import { PromptListSampler } from "./sampler.ts";
import { TrainableModel } from "./trainable-model.ts";
import { scalesLoss } from "./trunk.ts";
import type { DenseWeights } from "./weights.ts";

/** What a policy is made of: a model in the form in which its weights are held. */
export interface LocalModel {
  readonly config: ModelConfig;
  readonly form: WeightForm;
  /** Become the policy's own. */
  readonly weights: InitialWeights;
  /** Other policies read the same model, on a device where they take turns: it is not trained, only an adapter may be. */
  readonly sharesBase?: boolean;
  /** Where the model came from: what a saved adapter names as its base. */
  readonly base: string;
  /** Where it is saved. */
  readonly store: ModelStore;
  /** Root of the random numbers of an adapter's dropout. */
  readonly dropoutSeed: number;
}

/** What a snapshot has of the policy that it is of. */
interface SnapshotOf {
  readonly turns: VerbTurns;
  /** Where the two take turns: slots that both sample in. Otherwise a snapshot has slots for each call alone. */
  readonly sampler: PromptListSampler | undefined;
}

const NO_REFERENCE = "The reference policy was not frozen yet: call freezeReference first.";

/** The embedded engine's policy. */
export class LocalPolicy extends TrainableModel implements Policy {
  readonly info: PolicyInfo;
  readonly capabilities: Capabilities;
  readonly #model: Omit<LocalModel, "weights">;
  readonly #weights: PolicyWeights;
  readonly #limits: LocalLimits;
  readonly #programs: PolicyPrograms;
  readonly #sampler: PromptListSampler;
  readonly #snapshotOf: SnapshotOf | undefined;

  private constructor(
    device: Device,
    { weights, ...model }: LocalModel,
    limits: LocalLimits,
    programs: PolicyPrograms,
    snapshotOf?: SnapshotOf,
  ) {
    super(device, model.store, snapshotOf?.turns);
    this.#snapshotOf = snapshotOf;
    const { config, form } = model;
    this.#model = model;
    this.#limits = limits;
    this.#weights = new PolicyWeights(device, config, form, weights, { frozen: model.sharesBase });
    this.#programs = programs;
    this.#sampler = snapshotOf?.sampler ?? new PromptListSampler(programs.sampling, limits);
    const { lora, quantization, dtype = "float32" } = form;
    const adapter = lora ? [`LoRA of rank ${lora.rank}`] : [];
    const trunk = dtype === "float32" ? [] : [dtype];
    const specs = [...parameterSpecs(config), ...(lora ? trainedSpecs(config, form) : [])];
    this.info = {
      name: `local (${[device.name, ...(quantization ? [quantization] : []), ...trunk, ...adapter].join(", ")})`,
      vocabSize: config.vocabSize,
      maxContextTokens: config.maxContextTokens,
      parameterCount: specs.reduce((sum, { shape }) => sum + elementCount(shape), 0),
      eosTokenIds: config.eosTokenIds,
    };
    const isTrained = this.#weights.trained !== undefined && snapshotOf === undefined;
    this.capabilities = {
      losses: isTrained ? engineLossNames() : [],
      training: !isTrained ? "none" : lora ? "adapter" : "full",
      entropies: true,
      margins: true,
      scoringTemperature: true,
      keptTokens: true,
      seededDraws: true,
      minimumLength: true,
      sessions: true,
      reference: true,
      // A point between two products of low rank does not have that low rank.
      referenceMixing: lora === undefined,
      entropyBonus: true,
      embeddingNoise: true,
      gradientNorm: true,
      gradientClipping: true,
      weightDecay: true,
      otherTargets: true,
      snapshots: true,
      weightFiles: true,
    };
  }

  /** `programs`, where they are compiled already: those of its form, for one more holder. */
  static async open(
    device: Device,
    model: LocalModel,
    limits: LocalLimits,
    programs?: PolicyPrograms,
  ): Promise<LocalPolicy> {
    const { config, form } = model;
    return new LocalPolicy(
      device,
      model,
      limits,
      programs ?? (await PolicyPrograms.compile(device, config, form, limits)),
    );
  }

  /**
   * Where several policies share a base their programs take turns on the device, and a snapshot's verbs go on beside the
   * policy's. A policy that has the device for itself takes turns with its snapshots verb by verb: one processor computes no
   * faster for two, and what is sampled then needs no second cache beside the memory of training.
   */
  snapshot(): Promise<ContractSampler> {
    return this.inTurn(async () => {
      const model = { ...this.#model, weights: this.#weights.copy() };
      const isBeside = this.#model.sharesBase === true;
      return new LocalPolicy(this.device, model, this.#limits, this.#programs.shared(), {
        turns: isBeside ? new VerbTurns() : this.turns.beside(),
        sampler: isBeside ? undefined : this.#sampler,
      });
    });
  }

  sample(
    prompts: readonly SamplePrompt[],
    params: SamplingParams,
    onProgress?: SampleProgress,
  ): Promise<SampledSequence[]> {
    return this.inTurn(async () => {
      requireSampling(this.info, prompts, params);
      try {
        return await this.#sampler.sample(this.#weights.current, prompts, params, onProgress);
      } finally {
        // Of snapshots there may be many, and each is asked seldom: none keeps slots of its own.
        if (this.#snapshotOf && !this.#snapshotOf.sampler) this.#sampler.dispose();
      }
    });
  }

  openSession(): SamplingSession {
    return new LocalSession({
      info: this.info,
      program: this.#programs.sampling,
      weights: () => this.#weights.current,
      limits: this.#limits,
      inTurn: (work) => this.inTurn(work),
      contended: () => this.turns.contended,
    });
  }

  score(
    data: readonly ScoreDatum[],
    { temperature, policy = "policy" }: ScoreOptions & { readonly policy?: PolicyName },
  ): Promise<ScoreResult> {
    return this.inTurn(async () => {
      requireTemperature(temperature);
      requireData(this.info, data);
      const weights = policy === "policy" ? this.#weights.current : this.#weights.referenceWeights;
      if (!weights) throw new EngineError(NO_REFERENCE);
      return this.#programs.sequences.score(weights, data, temperature);
    });
  }

  forwardBackward(data: readonly Datum[], loss: LossSpec): Promise<ForwardBackwardResult> {
    return this.passInTurn(() => this.#train(data, loss));
  }

  step(data: readonly Datum[], loss: LossSpec, adam: AdamParams): Promise<StepResult<ForwardBackwardResult>> {
    return this.stepInTurn(adam, () => this.#train(data, loss));
  }

  async #train(data: readonly Datum[], loss: LossSpec): Promise<PendingResults<ForwardBackwardResult>> {
    requireLoss(this.capabilities, loss);
    requireData(this.info, data);
    const { sequences } = this.#programs;
    return sequences.train(this.#weights.current, this.optimizer, data, loss, this.#model.dropoutSeed);
  }

  freezeReference(mixup = 1): Promise<void> {
    return this.inTurn(async () => {
      requireMixup(mixup);
      if (mixup === 1) return this.#weights.freeze();
      if (!this.#weights.reference) throw new EngineError(NO_REFERENCE);
      return this.#weights.mixReference(mixup);
    });
  }

  protected get trained(): DenseWeights {
    const { form, sharesBase } = this.#model;
    if (this.#snapshotOf) throw new EngineError("A snapshot samples and scores; it is not trained or saved.");
    if (this.#weights.trained) return this.#weights.trained;
    const why = sharesBase ? "that other policies share" : `packed as ${form.quantization}`;
    throw new EngineError(`Weights ${why} cannot be trained or saved: train an adapter (lora) on them.`);
  }

  protected get scalesLoss(): boolean {
    return scalesLoss(this.#model.form.dtype);
  }

  protected override get reference(): DenseWeights | "off" | undefined {
    return this.#weights.reference;
  }

  protected override restoreReference(state: "off" | "copy"): DenseWeights | undefined {
    if (state === "copy") return this.#weights.newReference();
    this.#weights.referenceOff();
    return undefined;
  }

  protected override forgetReference(): void {
    this.#weights.forgetReference();
  }

  protected get stored(): StoredModel {
    const { config, form, base } = this.#model;
    return { config, form, base, valuesOf: ({ name }) => this.trained.values(name) };
  }

  protected release(): void {
    if (!this.#snapshotOf?.sampler) this.#sampler.dispose();
    this.#programs.dispose();
    this.#weights.dispose();
  }
}

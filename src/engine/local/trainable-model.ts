/**
 * What the embedded engine's policies and reward models have in common: verbs that take turns, an optimizer, states that
 * are kept, and an end.
 *
 * Tensors are shared and freed by hand, so one verb runs at a time, and none on an engine that was disposed of.
 */

import type { Device } from "../../compute/device.ts";
import { CheckpointError } from "../../errors.ts";
import type { SaveDtype } from "../../model/hf-config.ts";
import type { AdamParams, OptimStepResult, StepResult, Trainable } from "../contract/policy.ts";
import { VerbTurns } from "../turns.ts";
import { LossScale } from "./loss-scale.ts";
import type { ModelStore, StoredModel } from "./model-store.ts";
import type { PendingResults } from "./pending-results.ts";
import { requireAdam } from "./requests.ts";
import { type DenseWeights, OptimizerState } from "./weights.ts";

export abstract class TrainableModel implements Trainable {
  protected readonly device: Device;
  readonly #store: ModelStore;
  /** The order in which verbs are carried out. */
  protected readonly turns: VerbTurns;
  #optimizer: OptimizerState | undefined;

  constructor(device: Device, store: ModelStore, turns: VerbTurns = new VerbTurns()) {
    this.device = device;
    this.#store = store;
    this.turns = turns;
  }

  /** What is trained. Throws EngineError where nothing can be. */
  protected abstract get trained(): DenseWeights;

  /** A copy of the weights as they were, `off` where no copy is needed for that; undefined where there is none. */
  protected get reference(): DenseWeights | "off" | undefined {
    return undefined;
  }

  /** Makes a reference of what a state has: `off`, or values that are to be read into what is returned. */
  protected restoreReference(_state: "off" | "copy"): DenseWeights | undefined {
    throw new CheckpointError("This is the state of a policy with a reference, not of a reward model.");
  }

  protected forgetReference(): void {}

  /** Whether gradients are computed times a scale. */
  protected abstract get scalesLoss(): boolean;

  /** What is written of the model. */
  protected abstract get stored(): StoredModel;

  /** Releases what the model holds. */
  protected abstract release(): void;

  optimStep(params: AdamParams): Promise<OptimStepResult> {
    return this.inTurn(async () => {
      requireAdam(params);
      return this.optimizer.step(params);
    });
  }

  resetOptimizer(): Promise<void> {
    return this.inTurn(async () => this.#forgetOptimizer());
  }

  saveState(directory: string): Promise<void> {
    return this.inTurn(() => {
      const { reference } = this;
      return this.#store.saveState(directory, {
        optimizerSteps: this.#optimizer?.steps ?? 0,
        referenceOff: reference === "off",
        ...(this.#optimizer?.lossScale && { lossScale: this.#optimizer.lossScale.state }),
        sets: {
          weights: this.trained,
          ...(this.#optimizer && {
            firstMoments: this.#optimizer.firstMoments,
            secondMoments: this.#optimizer.secondMoments,
          }),
          ...(reference !== undefined && reference !== "off" && { reference }),
        },
      });
    });
  }

  loadState(directory: string): Promise<void> {
    return this.inTurn(async () => {
      const { optimizerSteps, referenceOff, lossScale } = await this.#store.loadState(
        directory,
        this.trained.specs,
        (set) => {
          switch (set) {
            case "weights":
              // The first of all sets; it is asked for when the whole state is known to fit.
              this.#forgetOptimizer();
              this.forgetReference();
              return this.trained;
            case "firstMoments":
            case "secondMoments":
              return this.optimizer[set];
            case "reference":
              return this.restoreReference("copy")!;
            default:
              return set satisfies never;
          }
        },
      );
      if (optimizerSteps > 0) this.optimizer.steps = optimizerSteps;
      if (lossScale && this.scalesLoss) this.optimizer.lossScale = new LossScale(lossScale);
      if (referenceOff) this.restoreReference("off");
    });
  }

  saveWeights(directory: string, { dtype }: { readonly dtype?: SaveDtype } = {}): Promise<void> {
    return this.inTurn(async () => {
      await this.trained.requireFinite();
      await this.#store.saveModel(directory, this.stored, dtype);
    });
  }

  dispose(): Promise<void> {
    return this.turns.end(() => {
      this.#forgetOptimizer();
      this.release();
    });
  }

  protected inTurn<T>(work: () => Promise<T>): Promise<T> {
    return this.turns.verb(work);
  }

  /** A pass that accumulates a gradient, in one turn with the reading of its results. */
  protected passInTurn<T extends { readonly loss: number }>(pass: () => Promise<PendingResults<T>>): Promise<T> {
    return this.inTurn(async () => {
      const pending = await pass();
      return this.optimizer.resultsOf(pending);
    });
  }

  /** A pass and the step on its gradient in one turn; without the step where the former fails. */
  protected stepInTurn<T extends { readonly loss: number }>(
    adam: AdamParams,
    pass: () => Promise<PendingResults<T>>,
  ): Promise<StepResult<T>> {
    return this.inTurn(async () => {
      requireAdam(adam);
      const pending = await pass();
      return this.optimizer.stepAfter(pending, adam);
    });
  }

  /** Made at its first use. Throws EngineError where nothing can be trained. */
  protected get optimizer(): OptimizerState {
    this.#optimizer ??= new OptimizerState(this.device, this.trained, { scalesLoss: this.scalesLoss });
    return this.#optimizer;
  }

  #forgetOptimizer(): void {
    this.#optimizer?.dispose();
    this.#optimizer = undefined;
  }
}

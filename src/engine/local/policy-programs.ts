/**
 * What policies over one base with adapters of one form have in common: compiled programs, which have no weights and no
 * state of their own. They are made for the first policy, and let go of when nobody holds them any more.
 */

import type { Device } from "../../compute/device.ts";
import { requireDType } from "../../compute/device-dtype.ts";
import type { WeightForm } from "../../model/decoder-parameters.ts";
import type { ModelConfig } from "../../model/model-config.ts";
import type { SequenceLimits } from "./limits.ts";
import { SamplingProgram } from "./sampling-program.ts";
import { SequenceRunner } from "./sequence-runner.ts";

/** The programs of a policy. */
export class PolicyPrograms {
  readonly sampling: SamplingProgram;
  readonly sequences: SequenceRunner;
  /** How many policies hold them. */
  #holders = 1;

  private constructor(sampling: SamplingProgram, sequences: SequenceRunner) {
    this.sampling = sampling;
    this.sequences = sequences;
  }

  static async compile(
    device: Device,
    config: ModelConfig,
    form: WeightForm,
    limits: SequenceLimits,
  ): Promise<PolicyPrograms> {
    await requireDType(device, form.dtype ?? "float32", { samples: false });
    const sampling = await SamplingProgram.compile(device, config, form);
    return new PolicyPrograms(sampling, new SequenceRunner(device, config, form, limits));
  }

  /** The same programs for one more holder, who disposes of them, too. */
  shared(): PolicyPrograms {
    this.#holders++;
    return this;
  }

  /** Releases them where the last holder disposes of them. */
  dispose(): void {
    if (--this.#holders > 0) return;
    this.sampling.dispose();
    this.sequences.dispose();
  }
}

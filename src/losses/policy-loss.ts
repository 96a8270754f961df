/**
 * How a loss of reinforcement learning is written: one file for each exports one `PolicyLoss`, and `registry.ts` lists
 * them. What they have in common (the ratio, the KL term, masks, corrections of the sampler, the entropy bonus) is in
 * `evaluate-objective.ts` as numbers and in `token-losses.ts` as a graph; each loss only adds its own part.
 *
 * A term has two forms: numbers in double precision, value and slopes, and a graph in single precision that an engine
 * differentiates. Each is the other's oracle in the tests. A term that reads a whole completion has no graph: its slopes are
 * computed from a forward pass, which works on every engine.
 */

import type { z } from "zod";
import type { Tensor } from "../graph/tensor.ts";

/** The value of a term and its partial derivatives. */
export interface Term {
  readonly value: number;
  /** ∂/∂logπ(token), the ratio held fixed. */
  readonly byLogprob: number;
  /** ∂/∂log r. */
  readonly byLogRatio: number;
}

/** What the term of a token is computed from. r = π/π_old is the ratio of the token, or the one that the tokens of its
 * completion share. */
export interface TokenNumbers {
  /** logπ(token). */
  readonly logprob: number;
  /** log r. */
  readonly logRatio: number;
  readonly advantage: number;
  /** What `sequenceWeight` gave for the completion; 1 without. */
  readonly sequenceWeight: number;
}

/** The same as tensors of N tokens. A ratio beyond e^80 is e^80, so that products with it are finite. */
export interface TokenTensors {
  readonly logprobs: Tensor; // [N]
  readonly ratios: Tensor; // [N]
  readonly advantages: Tensor; // [N]
}

/** The tokens of a completion that count. */
export interface SequenceNumbers {
  /** log r of each token by itself. */
  readonly logRatios: readonly number[];
  /** ρ of each token, by which the sampler is corrected; empty without a correction. */
  readonly corrections: readonly number[];
  readonly advantage: number;
}

/** A completion of an update, for metrics: its tokens that count, which may be none. */
export interface RatioRow {
  readonly ratios: readonly number[];
  readonly advantages: readonly number[];
  /** Whether its tokens share one ratio. */
  readonly isShared: boolean;
  readonly sequenceWeight: number | undefined;
}

/** Completions of an optimizer step, as far as a mean over their tokens is a function of them. */
export interface MeanContext {
  /** Trained tokens of the completion whose weight is asked for, at least 1: |o_i|. */
  readonly tokens: number;
  /** Completions of the step, masked ones included: N. */
  readonly numCompletions: number;
  /** Trained tokens of the step. */
  readonly stepTokens: number;
  /** Mean number of trained tokens of the iteration's steps. */
  readonly tokensPerStep: number;
  /** The most tokens that a completion may have. */
  readonly maxCompletionTokens: number;
}

/** The weight of each token of a completion. */
export type Mean = (context: MeanContext) => number;

/** A key of a TRL recipe that is an option of the loss. */
export interface TrlLossKey {
  readonly key: string;
  readonly option: string;
  /** What a value has to be. */
  readonly kind: "positive" | "notNegative" | "betweenZeroAndOne";
  /** TRL's default, where it goes into the recipe. */
  readonly fallback?: number;
  /** Where the file does not have the key, the value of this one (or its default) is taken. */
  readonly otherwise?: { readonly key: string; readonly fallback: number };
  readonly note?: string;
}

/** What a TRL recipe calls the loss. */
export interface TrlLoss {
  /** `loss_type`, and the keys that are options of the loss. */
  readonly name: string;
  readonly keys: readonly TrlLossKey[];
  /** Said of `loss_type`. */
  readonly note?: string;
  /** Why keys of other losses have no effect under this one, by TRL's key. */
  readonly unread?: Readonly<Record<string, string>>;
}

/** What a loss does not take together with the rest of a recipe. */
export interface LossIssue {
  readonly key: string;
  readonly message: string;
}

/** A loss as the registry has it; `Shape` are its options, which stand in a recipe beside the other keys of GRPO. */
export interface PolicyLoss<Shape extends z.ZodRawShape = z.ZodRawShape> {
  /** `lossType` in a recipe. */
  readonly name: string;
  /** One line: what the policy term is, and its mean. */
  readonly summary: string;
  /** Where the definition is from. */
  readonly citation: string;
  /** Options, each with a description and a default, or optional. Losses that have an option of one name share its schema. */
  readonly options: Shape;
  /** The name under which an engine has these terms: losses that differ in their mean alone share one. */
  readonly engineName: string;
  readonly mean: Mean;
  /** `chosen` (absent): the ratio is each token's or the completion's, as `importanceSamplingLevel` has it. `product`: the
   * tokens of a completion share the product of their ratios. */
  readonly ratio?: "chosen" | "product";
  /** True where a weight is a constant to the gradient, which then is not the slope of the value. */
  readonly hasConstantWeight?: boolean;
  /** The policy term of a token. */
  value(token: TokenNumbers, options: z.output<z.ZodObject<Shape>>): Term;
  /** The policy terms as a graph, [N]; absent where a term reads more than its own token. */
  graph?(tokens: TokenTensors, options: z.output<z.ZodObject<Shape>>): Tensor;
  /** A constant of the whole completion that its terms read. Corrections of the sampler are in it, so terms are not
   * multiplied by them. */
  sequenceWeight?(sequence: SequenceNumbers, options: z.output<z.ZodObject<Shape>>): number;
  /** What an update reports of the loss. */
  metrics?(rows: readonly RatioRow[], options: z.output<z.ZodObject<Shape>>): Readonly<Record<string, number>>;
  /** Why a key that this loss does not read would change nothing, by key, where that is more than "of another loss". */
  readonly unread?: Readonly<Record<string, string>>;
  /** Options that do not go together, or with the correction of the sampler. */
  issues?(options: z.output<z.ZodObject<Shape>>, config: { readonly samplerCorrection: string }): readonly LossIssue[];
  /** Absent: TRL's GRPO trainer has no such loss. */
  readonly trl?: TrlLoss;
}

/** The loss, its engine's name its own unless another is given. It lets TypeScript infer the options. */
export function defineLoss<Shape extends z.ZodRawShape>(
  loss: Omit<PolicyLoss<Shape>, "engineName"> & { readonly engineName?: string },
): PolicyLoss<Shape> {
  return { engineName: loss.name, ...loss };
}

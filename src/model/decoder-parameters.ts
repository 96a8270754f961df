/**
 * The decoder's parameters as inputs of a graph, in the form in which an engine holds them: each tensor in f32, or the
 * projections in 16 bits or packed in 4, or either of them frozen beside an adapter that is trained.
 *
 * `linear` is the one place that knows these forms; the decoder asks for "x times the matrix of this name". An adapter
 * stays apart from its matrix, in sampling as in training: y = x·Wᵀ + s·(x·Aᵀ)·Bᵀ. So one set of weights serves all
 * programs, and s = 0 turns the adapter off, exactly: the base is the reference policy, without a copy.
 */

import type { Dim } from "../graph/dim.ts";
import { bfloat16Matmul, widen } from "../graph/ops/bfloat16.ts";
import { cast, scalarLike } from "../graph/ops/cast.ts";
import { dropoutMask } from "../graph/ops/dropout.ts";
import { add, multiply } from "../graph/ops/elementwise.ts";
import { fewRowsLimit, fewRowsMatmul } from "../graph/ops/few-rows.ts";
import { gatherRows } from "../graph/ops/index.ts";
import { matmul } from "../graph/ops/matmul.ts";
import { nf4Matmul } from "../graph/ops/quantized.ts";
import type { Graph, Tensor } from "../graph/tensor.ts";
import type { FloatDType } from "../graph/tensor-type.ts";
import { adaptedParameters, adapterSpecs, type LoraConfig, loraA, loraB, loraScale } from "./lora.ts";
import type { ModelConfig, ModelHead } from "./model-config.ts";
import { elementCount, type ParameterSpec, parameterSpecs } from "./parameters.ts";
import { codesName, type NumberForm, nf4Lengths, scalesName, storageOf } from "./quantization.ts";

/** In what form a model's parameters are held; by default all of them in f32 and all of them trained. */
export interface WeightForm extends NumberForm {
  /** An adapter is trained, the base is frozen. */
  readonly lora?: LoraConfig | undefined;
  /** What stands on the decoder; next-token logits by default. */
  readonly head?: ModelHead | undefined;
}

/** Name of the input that scales every adapter: s of `loraScale`, or 0 for the base alone. */
export const LORA_SCALE_INPUT = "loraScale";

/** Name of the input with the random words of dropout: int32 [2·sites, N, 2], two words of 64 bits for each adapted matrix (a site). */
export const DROPOUT_INPUT = "dropoutWords";

/** The parameters that an optimizer moves. */
export function trainedSpecs(config: ModelConfig, { lora, quantization, head }: WeightForm): ParameterSpec[] {
  if (lora) return adapterSpecs(config, lora);
  return quantization ? [] : parameterSpecs(config, head);
}

/** How many adapted matrices have dropout in training. */
export function dropoutSites(config: ModelConfig, { lora }: WeightForm): number {
  return lora && lora.dropout > 0 ? adaptedParameters(config, lora).length : 0;
}

/** The model's parameters in a graph. */
export interface DecoderParameters {
  /** Dtype of the trunk. */
  readonly dtype: FloatDType;
  /** A norm's gain in float32, by name. */
  get(name: string): Tensor;
  /** Rows of the embedding for these token ids (int64 [N]): float32 [N, H]. */
  embed(ids: Tensor): Tensor;
  /** x · Wᵀ in the dtype of x for the matrix of this name, with its bias where the model has one, and its adapter. */
  linear(x: Tensor, name: string): Tensor;
  /** What is trained, by name: gradients are taken with respect to these. */
  readonly trained: ReadonlyMap<string, Tensor>;
}

/** What a graph does with the parameters. */
export interface ParameterUse {
  /** The gradient is taken over so many tokens: there, and only there, dropout applies. */
  readonly training?: { readonly tokens: Dim } | undefined;
  /** No product has more rows than this: matrices for which so many are few are left operands (`graph/ops/few-rows.ts`). */
  readonly mostRows?: number;
}

/** The limits of `ParameterUse.mostRows` that make a difference for a model, ascending. */
export function rowLimits(config: ModelConfig, form: WeightForm): readonly number[] {
  const limits = parameterSpecs(config, form.head)
    .filter((spec) => spec.shape.length === 2 && storageOf(spec, form) === "float32")
    .map(({ shape }) => fewRowsLimit(shape));
  return [...new Set(limits)].filter((limit) => limit > 0).sort((a, b) => a - b);
}

/** Declares every parameter as an input of the graph. */
export function parameterInputs(
  graph: Graph,
  config: ModelConfig,
  form: WeightForm = {},
  { training, mostRows = Number.POSITIVE_INFINITY }: ParameterUse = {},
): DecoderParameters {
  const packed = new Map<string, PackedLinear>();
  const tensors = new Map<string, Tensor>();
  for (const spec of parameterSpecs(config, form.head)) {
    const { name, shape } = spec;
    const storage = storageOf(spec, form);
    if (storage === "nf4") packed.set(name, packedLinear(graph, spec));
    else tensors.set(name, graph.input(name, storage, shape));
  }
  const get = (name: string) => tensors.get(name)!;
  const embed = (ids: Tensor) => {
    const rows = gatherRows(get("embed"), ids);
    return rows.dtype === "bfloat16" ? widen(rows) : rows;
  };
  // Cast once: a layer that is computed again for the backward pass has to read the same tensors.
  const casts = new Map<Tensor, Tensor>();
  const asIn = (x: Tensor, parameter: Tensor): Tensor => {
    const own = casts.get(parameter) ?? cast(parameter, x.dtype as FloatDType);
    casts.set(parameter, own);
    return own.dtype === x.dtype ? own : cast(parameter, x.dtype as FloatDType);
  };
  const base = (x: Tensor, name: string) => {
    const own = tensors.get(`${name}Bias`);
    const bias = own && asIn(x, own);
    const matrix = tensors.get(name);
    if (matrix?.dtype === "float32" && mostRows <= fewRowsLimit(matrix.shape)) return fewRowsMatmul(x, matrix, bias);
    if (matrix?.dtype === x.dtype) return matmul(x, matrix, { transposeB: true, ...(bias && { bias }) });
    const product = matrix ? bfloat16Matmul(x, matrix) : packed.get(name)!(x);
    return bias ? add(product, bias) : product;
  };
  const { lora, dtype = "float32" } = form;
  if (!lora) return { dtype, get, embed, linear: base, trained: form.quantization ? new Map() : tensors };

  const adapter = new Map(
    adapterSpecs(config, lora).map(({ name, shape }) => [name, graph.input(name, "float32", shape)]),
  );
  const scale = graph.input(LORA_SCALE_INPUT, "float32", []);
  // A parameter whose s differs from that of the input has the rest of it as a constant.
  const sites = new Map(
    adaptedParameters(config, lora).map(({ base: { name }, scale: own }, site) => {
      return [name, { site, ratio: own / loraScale(lora) }];
    }),
  );
  const scaled = (x: Tensor, ratio: number) => {
    const low = multiply(x, asIn(x, scale));
    return ratio === 1 ? low : multiply(low, scalarLike(x, ratio));
  };
  const words =
    training && lora.dropout > 0
      ? graph.input(DROPOUT_INPUT, "int32", [2 * sites.size, training.tokens, 2])
      : undefined;
  const dropped = (x: Tensor, site: number): Tensor => {
    if (!words) return x;
    const word = (index: number) => gatherRows(words, graph.constant(BigInt64Array.of(BigInt(index)), []));
    const mask = dropoutMask(word(2 * site), word(2 * site + 1), x.shape[1] as number, lora.dropout);
    return multiply(x, cast(mask, x.dtype as FloatDType));
  };
  const linear = (x: Tensor, name: string) => {
    const y = base(x, name);
    const adapted = sites.get(name);
    if (adapted === undefined) return y;
    const part = (parameter: string) => asIn(x, adapter.get(parameter)!);
    const low = matmul(dropped(x, adapted.site), part(loraA(name)), { transposeB: true }); // [N, r]
    return matmul(scaled(low, adapted.ratio), part(loraB(name)), { transposeB: true, bias: y });
  };
  return { dtype, get, embed, linear, trained: adapter };
}

/** x · Wᵀ for a packed W. */
type PackedLinear = (x: Tensor) => Tensor;

function packedLinear(graph: Graph, { name, shape }: ParameterSpec): PackedLinear {
  const [rows, columns] = shape as [number, number];
  const lengths = nf4Lengths(elementCount(shape));
  const codes = graph.input(codesName(name), "uint8", [lengths.codes]);
  const scales = graph.input(scalesName(name), "float32", [lengths.scales]);
  return (x) => cast(nf4Matmul(cast(x, "float32"), { codes, scales, rows, columns }), x.dtype as FloatDType);
}

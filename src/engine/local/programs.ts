/**
 * The graphs that the embedded engine runs, all made of the same decoder:
 *
 * - the sampling program: new positions of B sequences over a key-value cache → logits, cache grown in place;
 * - the sequence program: whole sequences → per-token log-probabilities and entropies, and for training the loss and the
 *   gradient of every parameter.
 *
 * Sequences of one prompt share it: R prompts of P positions and S completions of C positions lie one after another on
 * the token axis, N = R·P + S·C, and a completion attends to its prompt's keys and to its own. The last prompt token is
 * a completion's first input, so every completion position predicts one completion token and logits exist only there.
 * Rows shorter than P or C are padded on the right: causality hides a completion's padding from its tokens, and a bias
 * hides the prompt's.
 */

import type { ProgramGraph } from "../../compute/program.ts";
import { type Dim, dimMultiply, type Shape, shapeSize } from "../../graph/dim.ts";
import { attention, cachedAttention } from "../../graph/ops/attention.ts";
import { expand } from "../../graph/ops/broadcast.ts";
import { cast, scalarLike } from "../../graph/ops/cast.ts";
import { add, multiply, subtract } from "../../graph/ops/elementwise.ts";
import { gatherRows, pickLast, repeatRows, topK } from "../../graph/ops/index.ts";
import { concat, split } from "../../graph/ops/join.ts";
import { logSumExp } from "../../graph/ops/normalize.ts";
import { reshape, transpose } from "../../graph/ops/shape.ts";
import { uniformNoise } from "../../graph/ops/uniform-noise.ts";
import { Graph, type Tensor } from "../../graph/tensor.ts";
import type { FloatDType } from "../../graph/tensor-type.ts";
import type { LossSpec } from "../../losses/loss-spec.ts";
import { type Attend, type DecoderTokens, decoderHidden, decoderLogits, rotaryInputs } from "../../model/decoder.ts";
import { parameterInputs, type WeightForm } from "../../model/decoder-parameters.ts";
import { attentionScale, effectiveWindow, layerKind, type ModelConfig } from "../../model/model-config.ts";
import { chunkedCompletions, wholeCompletions } from "./completion-loss.ts";
import { cachedHeadWidth } from "./key-value-cache.ts";
import { scalesLoss } from "./trunk.ts";

/** Name of the gradient output of a parameter. */
export const gradientName = (parameter: string): string => `gradient ${parameter}`;

/** Attention over a cache rotates as well, which saves four operations a layer, where heads are a multiple of this. */
const ROTATED_HEAD_MULTIPLE = 16;

/**
 * B sequences, T new positions each, a cache of M positions. Inputs: the parameters; `ids`, `positions` [B, T],
 * the rotary tables, `lastPositions` [B], `totalLength`, `rows` [B] (which of the B·T positions to read the logits at), and
 * `keys.l`, `values.l` [B, kv, M, D′] of each layer. Outputs: `logits` [B, V], `newKeys.l`, `newValues.l`.
 *
 * `scored`: every position is scored too. Further inputs: `targets` (int64) [B, T], the token after each position, and
 * `alternatives` [A], zeros. Further outputs, natural-log probabilities: `targetLogprobs` [B·T] of the targets,
 * `topLogprobs` [B·T, A] of the most probable tokens, and these, `topTokens` (int64).
 *
 * `mostRows`: a program for steps of at most so many positions, B·T. `cacheDType`: that of keys and values, and of the
 * attention to them; float32 by default.
 */
export function samplingGraph(
  config: ModelConfig,
  form: WeightForm = {},
  {
    scored = false,
    mostRows,
    cacheDType = "float32",
  }: { readonly scored?: boolean; readonly mostRows?: number; readonly cacheDType?: FloatDType } = {},
): ProgramGraph {
  const graph = new Graph();
  const { numHeads, numKvHeads, headDim } = config;
  const parameters = parameterInputs(graph, config, form, mostRows === undefined ? {} : { mostRows });
  const lastPositions = graph.input("lastPositions", "int32", ["B"]);
  const totalLength = graph.input("totalLength", "int32", []);
  const rows = graph.input("rows", "int64", ["B"]);
  const tokens = tokenInputs(graph, config, ["B", "T"]);
  const width = cachedHeadWidth(config); // D′
  const cacheShape = ["B", numKvHeads, "M", width];
  const outputs: Record<string, Tensor> = {};
  // A trunk in 16 bits rotates in float32, as its training does.
  const rotatesWhileAttending = headDim % ROTATED_HEAD_MULTIPLE === 0 && parameters.dtype === "float32";

  const attend: Attend = (layer, q, k, v, rotate) => {
    const sequences = (x: Tensor, heads: number) => {
      const filled = fillHeads(reshape(cast(x, cacheDType), [x.shape[0]!, heads, headDim]), width);
      return reshape(filled, ["B", "T", heads * width]);
    };
    const rotated = rotatesWhileAttending ? (x: Tensor) => x : rotate;
    const { slides, rope } = layerKind(config, layer);
    const operands = {
      q: sequences(rotated(q), numHeads),
      k: sequences(rotated(k), numKvHeads),
      v: sequences(v, numKvHeads),
      pastKeys: graph.input(`keys.${layer}`, cacheDType, cacheShape),
      pastValues: graph.input(`values.${layer}`, cacheDType, cacheShape),
      lastPositions,
      totalLength,
      ...(rotatesWhileAttending && rope !== "none" ? tokens.rope[rope] : {}),
    };
    const window = slides ? effectiveWindow(config) : null;
    const attended = cachedAttention(operands, { numHeads, numKvHeads, scale: attentionScale(config), window });
    outputs[`newKeys.${layer}`] = attended.keys;
    outputs[`newValues.${layer}`] = attended.values;
    const own = cutHeads(reshape(attended.output, [q.shape[0]!, numHeads, width]), headDim);
    return cast(reshape(own, q.shape), parameters.dtype);
  };
  const hidden = decoderHidden(config, parameters, tokens, attend);
  if (!scored) {
    return { graph, outputs: { logits: decoderLogits(config, parameters, gatherRows(hidden, rows)), ...outputs } };
  }
  const logits = decoderLogits(config, parameters, hidden); // [B·T, V]
  return { graph, outputs: { logits: gatherRows(logits, rows), ...scoresOf(logits), ...outputs } };
}

/** Log-probabilities at every position of `logits` [B·T, V]: of the token that follows, and of the most probable ones. */
function scoresOf(logits: Tensor): Record<string, Tensor> {
  const { graph } = logits;
  const count = logits.shape[0]!;
  const targets = reshape(graph.input("targets", "int64", ["B", "T"]), [count]);
  // Its values say nothing; its size is the only way to tell the program how many.
  const alternatives = graph.input("alternatives", "float32", ["A"]);
  const logTotal = logSumExp(logits); // [B·T, 1]
  const { values, indices } = topK(logits, "A");
  return {
    targetLogprobs: subtract(pickLast(logits, targets), reshape(logTotal, [count])),
    topLogprobs: add(subtract(values, logTotal), alternatives),
    topTokens: indices,
  };
}

/** Heads x [N, heads, D] with zeros up to `width` numbers. */
export function fillHeads(x: Tensor, width: number): Tensor {
  const [n, heads, headDim] = x.shape as [Dim, number, number];
  if (headDim === width) return x;
  return concat([x, expand(scalarLike(x, 0), [n, heads, width - headDim])], 2);
}

/** The first `headDim` numbers of heads x [N, heads, D′]. */
export function cutHeads(x: Tensor, headDim: number): Tensor {
  const width = x.shape[2] as number;
  return width === headDim ? x : split(x, 2, [headDim, width - headDim])[0]!;
}

const PROMPT_TOKENS: Dim = "P*R";
const COMPLETION_TOKENS: Dim = "C*S";
const TOKENS: Dim = "C*S+P*R";

/** Names of the inputs of the noise on embeddings: int32 [2, N, 2], float32 [N, 1] (`embedding-noise.ts`). */
export const NOISE_INPUTS = { words: "noiseWords", magnitudes: "noiseMagnitudes" } as const;

/** Which of the sequence programs. */
export interface SequenceForm {
  /** Logits in chunks instead of whole. */
  readonly chunked?: boolean;
  /** Distributions over the tokens that the sampler drew from. */
  readonly restricted?: boolean;
  /** The backward pass computes each layer again instead of keeping what the forward pass made. */
  readonly recompute?: boolean;
  readonly form?: WeightForm;
}

/**
 * Inputs: the parameters; `ids`, `positions` [N], the rotary tables; `promptBias` [R, P] (0, or −10⁹ at padding),
 * `promptCausal` [P, P], `completionCausal` [C, C] (0 at and before the diagonal, −10⁹ after), `promptOf` [S] (the
 * prompt of each completion), `membership` [S, R] (the same as ones and zeros), where layers slide their masks (those of
 * `WindowMasks`), `inverseTemperature`, with noise on
 * embeddings `NOISE_INPUTS`, and per token those of `completion-loss.ts`, which has the logits whole or in chunks. Outputs:
 * `logprobs` and `entropies` (of cross-entropy also `margins`) per token; with a loss also `loss` and the gradient of each
 * parameter that is trained, times `LOSS_SCALE_INPUT` where `scalesLoss`.
 */
export function sequenceGraph(
  config: ModelConfig,
  loss: LossSpec | null,
  { chunked = false, restricted = false, recompute = false, form = {} }: SequenceForm = {},
): ProgramGraph {
  const graph = new Graph();
  const parameters = parameterInputs(graph, config, form, loss ? { training: { tokens: TOKENS } } : {});
  const promptBias = graph.input("promptBias", "float32", ["R", "P"]);
  const promptCausal = graph.input("promptCausal", "float32", ["P", "P"]);
  const completionCausal = graph.input("completionCausal", "float32", ["C", "C"]);
  const promptOf = graph.input("promptOf", "int64", ["S"]);
  const membership = graph.input("membership", "float32", ["S", "R"]);
  const tokens = tokenInputs(graph, config, [TOKENS]);

  const windows = effectiveWindow(config) === null ? undefined : windowMasks(graph);
  const attend = sharedPromptAttention(config, {
    promptBias,
    promptCausal,
    completionCausal,
    promptOf,
    membership,
    windows,
  });
  const embeddingNoise = loss?.embeddingNoise && noiseOf(graph, config.hiddenSize);
  const options = { recompute: recompute && loss !== null, embeddingNoise };
  const parts = [PROMPT_TOKENS, COMPLETION_TOKENS];
  const hidden = split(decoderHidden(config, parameters, tokens, attend, options), 0, parts)[1]!;
  const inverseTemperature = graph.input("inverseTemperature", "float32", []);
  const gradientSeed = loss && scalesLoss(form.dtype) ? graph.input(LOSS_SCALE_INPUT, "float32", []) : graph.scalar(1);
  const { logprobs, entropies, margins, total, gradients } = (chunked ? chunkedCompletions : wholeCompletions)({
    graph,
    hidden,
    // (h / temperature)·Wᵀ, because the hidden states are the smaller operand.
    logitsOf: (rows) => decoderLogits(config, parameters, multiply(rows, inverseTemperature)),
    loss,
    restricted,
    gradientSeed,
    trained: [...parameters.trained.values()],
  });
  const outputs: Record<string, Tensor> = { logprobs, entropies, ...(margins && { margins }) };
  if (total) outputs.loss = total;
  [...parameters.trained.keys()].forEach((name, i) => {
    if (gradients[i]) outputs[gradientName(name)] = cast(gradients[i], "float32");
  });
  return { graph, outputs };
}

/** Name of the input that gradients are multiplied by, float32 []. */
export const LOSS_SCALE_INPUT = "lossScale";

/** The noise on the embeddings of all tokens, [N, H]. */
function noiseOf(graph: Graph, hiddenSize: number): Tensor {
  const words = graph.input(NOISE_INPUTS.words, "int32", [2, TOKENS, 2]);
  const magnitudes = graph.input(NOISE_INPUTS.magnitudes, "float32", [TOKENS, 1]);
  const word = (index: number) => gatherRows(words, graph.constant(BigInt64Array.of(BigInt(index)), []));
  return uniformNoise(word(0), word(1), magnitudes, hiddenSize);
}

/** Declares the tokens of a program as inputs: `ids`, `positions` and the rotary tables. */
export function tokenInputs(graph: Graph, config: ModelConfig, shape: Shape): DecoderTokens {
  const count = shapeSize(shape);
  return {
    ids: reshape(graph.input("ids", "int64", shape), [count]),
    positions: reshape(graph.input("positions", "int64", shape), [count, 1]),
    rope: rotaryInputs(graph, config),
  };
}

interface SharedPrompt {
  readonly promptBias: Tensor; // [R, P]
  readonly promptCausal: Tensor; // [P, P]
  readonly completionCausal: Tensor; // [C, C]
  readonly promptOf: Tensor; // [S]
  readonly membership: Tensor; // [S, R]
  readonly windows: WindowMasks | undefined;
}

/** Masks of layers that slide, in place of the causal ones and of `promptBias`. */
interface WindowMasks {
  readonly promptWindow: Tensor; // [P, P]
  readonly completionWindow: Tensor; // [C, C]
  /** Of each completion's positions on the tokens of its prompt. */
  readonly promptInWindow: Tensor; // [S, C, P]
}

function windowMasks(graph: Graph): WindowMasks {
  return {
    promptWindow: graph.input("promptWindow", "float32", ["P", "P"]),
    completionWindow: graph.input("completionWindow", "float32", ["C", "C"]),
    promptInWindow: graph.input("promptInWindow", "float32", ["S", "C", "P"]),
  };
}

type Triple = [Tensor, Tensor, Tensor];

/** Attention of R prompts, each to itself, and of S completions, each to its prompt and to itself. */
function sharedPromptAttention(config: ModelConfig, shared: SharedPrompt): Attend {
  const { numHeads, numKvHeads, headDim } = config;
  const repeats = numHeads / numKvHeads;
  const grouping = { repeats, scale: attentionScale(config) };

  /** [n·t, heads·D] → [n, heads, t, D] */
  const byHead = (x: Tensor, n: Dim, t: Dim, heads: number) =>
    transpose(reshape(x, [n, t, heads, headDim]), [0, 2, 1, 3]);
  /** [n, kv, repeats·t, D] → [n·t, h·D] */
  const byToken = (x: Tensor, n: Dim, t: Dim, count: Dim) =>
    reshape(transpose(reshape(x, [n, numHeads, t, headDim]), [0, 2, 1, 3]), [count, numHeads * headDim]);
  const grouped = (q: Tensor, n: Dim, t: Dim) =>
    reshape(byHead(q, n, t, numHeads), [n, numKvHeads, dimMultiply(repeats, t), headDim]);

  const { promptBias, promptCausal, completionCausal, promptOf, membership, windows } = shared;
  /** A prompt's keys or values for each of its completions: [R, kv, P, D] → [S, kv, P, D] */
  const forEach = (x: Tensor) => repeatRows(x, promptOf, membership);
  const promptMask = expand(reshape(gatherRows(promptBias, promptOf), ["S", 1, 1, 1, "P"]), ["S", 1, 1, "C", "P"]);
  /** [S, 1, 1, C, P + C] of the masks on prompts and on completions */
  const joined = (onPrompts: Tensor, own: Tensor) =>
    concat([onPrompts, expand(reshape(own, [1, 1, 1, "C", "C"]), ["S", 1, 1, "C", "C"])], 4);
  const full = { prompt: promptCausal, completion: joined(promptMask, completionCausal) };
  const sliding = windows && {
    prompt: windows.promptWindow,
    completion: joined(reshape(windows.promptInWindow, ["S", 1, 1, "C", "P"]), windows.completionWindow),
  };

  return (layer, unrotatedQ, unrotatedK, v, rotate) => {
    const masks = sliding && layerKind(config, layer).slides ? sliding : full;
    const [q, k, wideV] = [rotate(unrotatedQ), rotate(unrotatedK), v].map((x) => cast(x, "float32")) as Triple;
    const parts = [PROMPT_TOKENS, COMPLETION_TOKENS];
    const [promptQ, ownQ] = split(q, 0, parts) as [Tensor, Tensor];
    const [promptKRows, ownK] = split(k, 0, parts) as [Tensor, Tensor];
    const [promptVRows, ownV] = split(wideV, 0, parts) as [Tensor, Tensor];
    const promptK = byHead(promptKRows, "R", "P", numKvHeads);
    const promptV = byHead(promptVRows, "R", "P", numKvHeads);
    const promptOut = attention(grouped(promptQ, "R", "P"), promptK, promptV, masks.prompt, grouping);
    const keys = concat([forEach(promptK), byHead(ownK, "S", "C", numKvHeads)], 2);
    const values = concat([forEach(promptV), byHead(ownV, "S", "C", numKvHeads)], 2);
    const ownOut = attention(grouped(ownQ, "S", "C"), keys, values, masks.completion, grouping);
    const all = concat([byToken(promptOut, "R", "P", PROMPT_TOKENS), byToken(ownOut, "S", "C", COMPLETION_TOKENS)], 0);
    return cast(all, v.dtype as FloatDType);
  };
}

/**
 * `Engine.sample`: completes a list of prompts, all known at the start, with parameters that all share. How they are
 * decoded is `decode-loop.ts`; a session, whose sequences arrive at any time, is `local-session.ts`.
 */

import type { Draw, DrawRequest } from "../../compute/draw-token.ts";
import type { SampledSequence, SampleProgress } from "../contract/sampler.ts";
import type { SamplePrompt, SamplingParams } from "../contract/sampling.ts";
import { type DecodedSequence, DecodeLoop, type UsedRow } from "./decode-loop.ts";
import { drawRequest, requireSound } from "./draw-request.ts";
import { KeyValueCache } from "./key-value-cache.ts";
import { affordableRows, type SamplerLimits } from "./limits.ts";
import type { SamplingProgram, StepRows } from "./sampling-program.ts";
import { affordableSharedRows, type SampledShape, SharedPrompts, sharesPrompts } from "./shared-prompts.ts";
import type { Weights } from "./weights.ts";

/** Samples lists of prompts, with slots that are kept from one call to the next. */
export class PromptListSampler {
  readonly #program: SamplingProgram;
  readonly #limits: SamplerLimits;
  /** The slots, kept between calls where they fit. */
  #cache: KeyValueCache | undefined;

  constructor(program: SamplingProgram, limits: SamplerLimits) {
    this.#program = program;
    this.#limits = limits;
  }

  /** See `Engine.sample`. */
  async sample(
    weights: Weights,
    prompts: readonly SamplePrompt[],
    params: SamplingParams,
    onProgress?: SampleProgress,
  ): Promise<SampledSequence[]> {
    const results: SampledSequence[] = [];
    const sequences = prompts.flatMap((prompt, promptIndex) => {
      // Each prompt gets its own array: how prompts are computed together must not depend on which arrays the caller
      // shares.
      const tokens = prompt.tokens.subarray();
      return Array.from(
        { length: prompt.numSamples },
        (_, sampleIndex) => new ListedSequence({ ...prompt, tokens }, params, { promptIndex, sampleIndex }, results),
      );
    });
    const total = sequences.length;
    if (total === 0) return [];
    const rows = this.#rowsFor(shapeOf(prompts, params));
    let tokens = 0;
    let mostTokens = total * params.maxCompletionTokens;
    let counted = 0;
    const onTokens = (count: number) => {
      tokens += count;
      for (; counted < results.length; counted++)
        mostTokens -= params.maxCompletionTokens - results[counted]!.tokens.length;
      onProgress?.({ finished: results.length, total, tokens, mostTokens });
    };
    const memory = {
      rowsFor: (_: number, used: readonly UsedRow[]) => (used.length < rows.rows ? rows : undefined),
      hasRoom: (count: number) => count <= rows.rows,
    };
    try {
      await new DecodeLoop(this.#program, memory, { onTokens }).run(weights, sequences);
    } finally {
      if (rows instanceof SharedPrompts) rows.dispose();
    }
    return results.sort((a, b) => a.promptIndex - b.promptIndex || a.sampleIndex - b.sampleIndex);
  }

  dispose(): void {
    this.#cache?.dispose();
    this.#cache = undefined;
  }

  /**
   * The rows that a call of this shape decodes in. Prompts that are shared get a cache of their own for each call: products
   * with them go over all of its positions, so these must not depend on earlier calls.
   */
  #rowsFor(shape: SampledShape): StepRows {
    const { device, config, cacheDType } = this.#program;
    const { sequences, longestPrompt, maxCompletionTokens } = shape;
    if (!sharesPrompts(config, device.target, this.#limits, shape)) {
      const positions = longestPrompt + maxCompletionTokens;
      return this.#slots(Math.min(sequences, affordableRows(config, cacheDType, this.#limits, positions)), positions);
    }
    const own = this.#slots(affordableSharedRows(config, cacheDType, this.#limits, shape), maxCompletionTokens);
    return new SharedPrompts(device, config, own, shape);
  }

  /**
   * The cache that a call decodes in. The number of rows must not depend on earlier calls, or a resumed run would differ
   * from an uninterrupted one. The number of positions may depend on them, because attention reads only the positions of
   * its own sequence.
   */
  #slots(rows: number, positions: number): KeyValueCache {
    const known = this.#cache;
    if (known && known.rows === rows && known.positions >= positions) return known;
    // The old cache is released first, so that the two need not fit into memory together.
    this.dispose();
    this.#cache = new KeyValueCache(
      this.#program.device,
      this.#program.config,
      this.#program.cacheDType,
      rows,
      positions,
    );
    return this.#cache;
  }
}

/** What is known of a call before it begins; some sequence is asked for. */
function shapeOf(prompts: readonly SamplePrompt[], { maxCompletionTokens }: SamplingParams): SampledShape {
  const asked = prompts.filter(({ numSamples }) => numSamples > 0);
  const lengths = asked.map(({ tokens }) => tokens.length);
  return {
    longestPrompt: lengths.reduce((most, length) => Math.max(most, length), 0),
    promptTokens: lengths.reduce((sum, length) => sum + length, 0),
    prompts: asked.length,
    sequences: asked.reduce((sum, { numSamples }) => sum + numSamples, 0),
    maxCompletionTokens,
  };
}

/** One sample of a prompt in the list; when it ends it is among the results. */
class ListedSequence implements DecodedSequence {
  readonly prompt: Int32Array;
  readonly mostPositions: number;
  readonly tokens: number[] = [];
  readonly cancelled = false;
  readonly #promptId: number;
  readonly #params: SamplingParams;
  readonly #place: { readonly promptIndex: number; readonly sampleIndex: number };
  readonly #logprobs: number[] = [];
  readonly #kept: Int32Array[] = [];
  readonly #results: SampledSequence[];

  constructor(
    { tokens, promptId }: SamplePrompt,
    params: SamplingParams,
    place: { readonly promptIndex: number; readonly sampleIndex: number },
    results: SampledSequence[],
  ) {
    this.prompt = tokens;
    this.mostPositions = tokens.length + params.maxCompletionTokens;
    this.#promptId = promptId;
    this.#params = params;
    this.#place = place;
    this.#results = results;
  }

  nextDraw(row: number): DrawRequest {
    const { sampleIndex } = this.#place;
    const position = this.tokens.length;
    return drawRequest(row, this.#params, { promptId: this.#promptId, sampleIndex, position });
  }

  take(draw: Draw): boolean {
    requireSound(draw);
    const { tokens } = this;
    const { stopTokenIds, maxCompletionTokens } = this.#params;
    const { token, logprob, restricted } = draw;
    tokens.push(token);
    if (restricted && this.#params.returnKeptTokens) {
      this.#logprobs.push(restricted.logprob);
      this.#kept.push(restricted.kept);
    } else {
      this.#logprobs.push(logprob);
    }
    const stopped = stopTokenIds.includes(token);
    if (!stopped && tokens.length < maxCompletionTokens) return false;
    this.#results.push({
      ...this.#place,
      tokens: Int32Array.from(tokens),
      logprobs: Float32Array.from(this.#logprobs),
      ...(this.#kept.length > 0 && { keptTokens: this.#kept }),
      finishReason: stopped ? "stop" : "length",
    });
    return true;
  }
}

/**
 * Continuous batching: decodes sequences with one program and a number of slots, whether all of them are known at the
 * start (`Engine.sample`) or they come as they please (a session).
 *
 * Each distinct prompt is computed once (prefill) and its keys and values are copied to the slot of each of its
 * sequences. A step computes one token for every active slot; a sequence that has ended leaves its slot to a waiting one,
 * and when none waits the batch shrinks (the last active row moves into the hole). What a token is drawn with is the
 * sequence's own matter, so results do not depend on which sequences shared a batch.
 */

import type { Draw, DrawRequest } from "../../compute/draw-token.ts";
import type { KeyValueCache } from "./key-value-cache.ts";
import type { ComputedPrompts, DecodeStep, SamplingProgram } from "./sampling-program.ts";
import type { Weights } from "./weights.ts";

/** A sequence as the loop sees it. */
export interface DecodedSequence {
  /** Sequences that have the very same array share its computation. */
  readonly prompt: Int32Array;
  /** The positions that it may come to: its prompt and its longest completion. */
  readonly mostPositions: number;
  /** The completion so far. */
  readonly tokens: readonly number[];
  /** Whether it ended by other means than a draw: its owner wants no more of it. */
  readonly cancelled: boolean;
  /** What its next token is drawn with, from this row of logits. */
  nextDraw(row: number): DrawRequest;
  /** Takes the token that was drawn; true where that ends it. */
  take(draw: Draw): boolean;
}

/** A row in use: how many positions are cached there, and how many it may come to. */
export interface UsedRow {
  readonly cachedPositions: number;
  readonly mostPositions: number;
}

/** Where the slots' keys and values are. */
export interface SlotMemory {
  /**
   * A cache in which a sequence of up to `mostPositions` has a row behind those that are in use; undefined where it has to
   * wait, which it never has where none is in use. Where it is another cache than before, the used rows were copied, and
   * `leave` was called before the old one was disposed of.
   */
  cacheFor(mostPositions: number, used: readonly UsedRow[], leave: () => void): KeyValueCache | undefined;
}

export interface DecodeLoopHooks {
  /** So many tokens were drawn. */
  readonly onTokens?: (count: number) => void;
  /** Whether waiting sequences may begin now; asked once some are active. */
  readonly admits?: () => boolean;
}

export class DecodeLoop<S extends DecodedSequence> {
  /** The sequences being decoded, by row. */
  readonly active: S[] = [];
  readonly #program: SamplingProgram;
  readonly #memory: SlotMemory;
  readonly #hooks: DecodeLoopHooks;
  #computed: ComputedPrompts | undefined;
  /** Steps over the cache that the active rows are in. */
  #decode: { readonly cache: KeyValueCache; readonly step: DecodeStep } | undefined;

  constructor(program: SamplingProgram, memory: SlotMemory, hooks: DecodeLoopHooks = {}) {
    this.#program = program;
    this.#memory = memory;
    this.#hooks = hooks;
  }

  /**
   * Decodes until no sequence is active and none waits, or none of those may begin. Sequences may be added at the end of
   * `waiting`, and taken out of it, while it goes on. What a sequence throws ends all of it: those that were not done are
   * still active or waiting then.
   */
  async run(weights: Weights, waiting: S[]): Promise<void> {
    try {
      do {
        this.#leave((sequence) => sequence.cancelled);
        await this.#admit(weights, waiting);
        if (this.active.length > 0) await this.#step();
      } while (this.active.length > 0 || (waiting.length > 0 && this.#admits()));
    } finally {
      this.#leaveCache();
      this.#forgetPrompts();
    }
  }

  /** Begins waiting sequences, in order, for as long as there is room. */
  async #admit(weights: Weights, waiting: S[]): Promise<void> {
    for (let sequence = waiting[0]; sequence !== undefined; sequence = waiting[0]) {
      if (this.active.length > 0 && !this.#admits()) return;
      const leave = () => this.#leaveCache();
      const cache = this.#memory.cacheFor(sequence.mostPositions, this.active.map(usedRow), leave);
      if (cache === undefined) return;
      this.#useCache(weights, cache);
      const row = this.#computed?.rows.get(sequence.prompt);
      if (this.#computed === undefined || row === undefined) {
        const next = new Set(waiting.slice(0, cache.rows).map(({ prompt }) => prompt));
        this.#forgetPrompts();
        this.#computed = await this.#program.prefill(weights, [...next]);
        // Meanwhile the first may have gone.
        continue;
      }
      const [draw] = await this.#program.draw(this.#computed.logits, [sequence.nextDraw(row)]);
      if (waiting[0] !== sequence) continue;
      const ended = sequence.take(draw!);
      // From within, a sequence may have taken itself, or others, out of the list.
      const place = waiting.indexOf(sequence);
      if (place >= 0) waiting.splice(place, 1);
      this.#hooks.onTokens?.(1);
      if (ended) continue;
      cache.copyRow(this.active.length, this.#computed.cache, row, sequence.prompt.length);
      this.active.push(sequence);
    }
    this.#forgetPrompts();
  }

  #admits(): boolean {
    return this.#hooks.admits?.() ?? true;
  }

  /** One token of every active sequence. */
  async #step(): Promise<void> {
    const lengths = this.active.map(({ prompt, tokens }) => prompt.length + tokens.length);
    const lastTokens = this.active.map(({ tokens }) => tokens[tokens.length - 1]!);
    const logits = await this.#decode!.step.run(lastTokens, lengths);
    const requests: DrawRequest[] = [];
    for (const [row, sequence] of this.active.entries()) {
      if (!sequence.cancelled) requests.push(sequence.nextDraw(row));
    }
    const draws = await this.#program.draw(logits, requests);
    const ended = new Set<S>();
    for (const [i, { row }] of requests.entries()) {
      const sequence = this.active[row]!;
      // The sequence before may have cancelled this one.
      if (!sequence.cancelled && sequence.take(draws[i]!)) ended.add(sequence);
    }
    this.#hooks.onTokens?.(requests.length);
    this.#leave((sequence) => sequence.cancelled || ended.has(sequence));
  }

  /** Frees the rows of these sequences. */
  #leave(gone: (sequence: S) => boolean): void {
    // From the last row on, so that the row that moves into a hole is never one that has ended.
    for (let row = this.active.length - 1; row >= 0; row--) {
      if (!gone(this.active[row]!)) continue;
      const last = this.active.pop()!;
      if (row === this.active.length) continue;
      const { cache } = this.#decode!;
      cache.copyRow(row, cache, this.active.length, usedRow(last).cachedPositions);
      this.active[row] = last;
    }
  }

  #useCache(weights: Weights, cache: KeyValueCache): void {
    if (this.#decode?.cache === cache) return;
    this.#leaveCache();
    this.#decode = { cache, step: this.#program.decodeStep(weights, cache) };
  }

  #leaveCache(): void {
    this.#decode?.step.dispose();
    this.#decode = undefined;
  }

  #forgetPrompts(): void {
    this.#computed?.dispose();
    this.#computed = undefined;
  }
}

/** The keys and values of an active sequence are known but for those of the token that was drawn last. */
function usedRow({ prompt, tokens, mostPositions }: DecodedSequence): UsedRow {
  return { cachedPositions: prompt.length + tokens.length - 1, mostPositions };
}

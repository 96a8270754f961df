/**
 * Continuous batching: decodes sequences with one program and a fixed number of slots. The sequences are either all
 * known at the start (`Engine.sample`) or arrive at any time (a session).
 *
 * Each distinct prompt is computed once (prefill). Its keys and values are copied to the slot of each of its sequences,
 * or are read where they are by all of them (`shared-prompts.ts`). A step computes one token for every active slot; a sequence that has ended leaves its slot to a waiting
 * one, and when none waits the batch shrinks (the last active row moves into the hole). Each sequence has its own
 * sampling parameters and random numbers, so results do not depend on which sequences shared a batch.
 *
 * A list fills its slots before each step, since no client waits for a single token. A session has pacing: between two
 * steps it computes one piece of a prompt (`prefill.ts`), so that a long prompt does not delay the sequences that are
 * being decoded.
 */

import type { Draw, DrawRequest } from "../../compute/draw-token.ts";
import type { PromptLogprobs } from "../contract/session.ts";
import { beginPrefill, type Prefill, type WantedPrompt } from "./prefill.ts";
import type { PrefillPacing } from "./prefill-pacing.ts";
import type { DecodeStep, SamplingProgram, StepRows } from "./sampling-program.ts";
import type { Weights } from "./weights.ts";

/** Prompt positions that a list computes at once. */
const LIST_PREFILL_TOKENS = 4096;
/** The most prompts of a session that are partly computed at the same time: each needs a cache of its own. */
const MOST_BEGUN = 3;
/** With pacing, other work of the event loop is let in after draws from so many logits: some tens of milliseconds. */
const LOGITS_BETWEEN_PAUSES = 2 ** 21;

/** A sequence as the loop sees it. */
export interface DecodedSequence {
  /** Sequences that have the very same array share its computation. */
  readonly prompt: Int32Array;
  /** Score the prompt's tokens, with so many alternatives; undefined: they are not scored. */
  readonly promptLogprobs?: number | undefined;
  /** The most positions that it may have: its prompt and its longest completion. */
  readonly mostPositions: number;
  /** The completion so far. */
  readonly tokens: readonly number[];
  /** Whether it was ended by its owner instead of by a draw. */
  readonly cancelled: boolean;
  /** Told that its prompt is computed, with the scores where they were asked for; true where that ends it. */
  computed?(scores: PromptLogprobs | undefined): boolean;
  /** What its next token is drawn with, from this row of logits. */
  nextDraw(row: number): DrawRequest;
  /** Takes the token that was drawn; true where that ends it. */
  take(draw: Draw): boolean;
}

/** A row in use: how many positions are cached there, and the most that it may have. */
export interface UsedRow {
  readonly cachedPositions: number;
  readonly mostPositions: number;
}

/** Where the slots' keys and values are. */
export interface SlotMemory {
  /**
   * Rows in which a sequence of up to `mostPositions` has a place behind those that are in use; undefined where it has
   * to wait, which it never has where none is in use. If they are others than before, the used ones were copied,
   * and `leave` was called before the old ones were disposed of.
   */
  rowsFor(mostPositions: number, used: readonly UsedRow[], leave: () => void): StepRows | undefined;
  /** Whether so many rows, the longest with up to `mostPositions`, fit at the same time. */
  hasRoom(rows: number, mostPositions: number): boolean;
}

export interface DecodeLoopHooks {
  /** So many tokens were drawn. */
  readonly onTokens?: (count: number) => void;
  /** Whether waiting sequences may begin now; asked once some are active. */
  readonly admits?: () => boolean;
  /** Prompts are computed in pieces of these sizes, between two steps. */
  readonly pacing?: PrefillPacing;
}

export class DecodeLoop<S extends DecodedSequence> {
  /** The sequences being decoded, by row. */
  readonly active: S[] = [];
  readonly #program: SamplingProgram;
  readonly #memory: SlotMemory;
  readonly #hooks: DecodeLoopHooks;
  /** Prompts that have begun, in whole or in part. */
  #prefills = new Map<Int32Array, Prefill>();
  #pieces = 0;
  /** The rows that the active sequences are in, and steps over them. */
  #decode: { readonly rows: StepRows; readonly step: DecodeStep } | undefined;

  constructor(program: SamplingProgram, memory: SlotMemory, hooks: DecodeLoopHooks = {}) {
    this.#program = program;
    this.#memory = memory;
    this.#hooks = hooks;
  }

  /**
   * Decodes until no sequence is active and none waits, or none of those may begin. Sequences may be added at the end
   * of `waiting`, and taken out of it, while it goes on. An error that a sequence throws ends the whole loop: sequences
   * that were not done are then still active or waiting.
   */
  async run(weights: Weights, waiting: S[]): Promise<void> {
    try {
      do {
        this.#leave((sequence) => sequence.cancelled);
        if (this.#hooks.pacing) await this.#admitInPieces(weights, waiting, this.#hooks.pacing);
        else await this.#admitAll(weights, waiting);
        if (this.active.length > 0) await this.#step();
      } while (this.active.length > 0 || (waiting.length > 0 && this.#admits()));
    } finally {
      this.#leaveRows();
      this.#forgetPrompts();
    }
  }

  /** Begins waiting sequences, in order, for as long as there is room. */
  async #admitAll(weights: Weights, waiting: S[]): Promise<void> {
    for (let sequence = waiting[0]; sequence !== undefined; sequence = waiting[0]) {
      if (this.active.length > 0 && !this.#admits()) return;
      const rows = this.#rowsFor(weights, sequence);
      if (rows === undefined) return;
      if (this.#prefills.has(sequence.prompt)) {
        await this.#begin(sequence, rows, waiting);
        continue;
      }
      this.#forgetPrompts();
      const prefill = this.#beginPrefill(weights, waiting.slice(0, rows.rows), LIST_PREFILL_TOKENS);
      while (prefill.remaining > 0) await prefill.advance(LIST_PREFILL_TOKENS);
    }
    this.#forgetPrompts();
  }

  /**
   * Begins the sequences whose prompts are computed, and computes one piece of another's prompt. While nothing is decoded
   * it goes on to the next piece.
   */
  async #admitInPieces(weights: Weights, waiting: S[], pacing: PrefillPacing): Promise<void> {
    for (;;) {
      if (this.active.length > 0 && !this.#admits()) return;
      const wanted = new Set(waiting.map(({ prompt }) => prompt));
      this.#forgetPrompts((prompt) => !wanted.has(prompt));
      const candidates = this.#withRoom(waiting);
      if (candidates.length === 0) return;
      const ready = candidates.find(({ prompt }) => this.#prefills.get(prompt)?.remaining === 0);
      if (ready !== undefined) {
        await this.#begin(ready, this.#rowsFor(weights, ready)!, waiting);
        if (!this.#admits()) return;
        continue;
      }
      const decoding = this.active.length > 0;
      const most = pacing.pieceTokens(decoding);
      const prefill = this.#nextPrefill(weights, candidates, most);
      const startedAt = performance.now();
      const tokens = await prefill.advance(most);
      if (!decoding) continue;
      pacing.pieceTook(tokens, performance.now() - startedAt);
      return;
    }
  }

  /** The waiting sequences, in order, that have a place beside those that are active. */
  #withRoom(waiting: readonly S[]): readonly S[] {
    let longest = this.active.reduce((most, { mostPositions }) => Math.max(most, mostPositions), 0);
    let count = 0;
    for (const { mostPositions } of waiting) {
      longest = Math.max(longest, mostPositions);
      if (!this.#memory.hasRoom(this.active.length + count + 1, longest)) break;
      count++;
    }
    return waiting.slice(0, count);
  }

  /**
   * Chooses the prompt of the next piece: alternately the prompt that came first and the prompt with the fewest
   * positions left. So a short prompt does not wait for all long ones before it, and a long prompt is not postponed for
   * ever.
   */
  #nextPrefill(weights: Weights, candidates: readonly S[], most: number): Prefill {
    const left = ({ prompt }: S) => this.#prefills.get(prompt)?.remaining ?? prompt.length;
    const begun = candidates.filter(({ prompt }) => this.#prefills.has(prompt));
    const mayBegin = new Set(begun.map(({ prompt }) => this.#prefills.get(prompt))).size < MOST_BEGUN;
    const choice = mayBegin ? candidates : begun;
    const isTurnOfFirst = this.#pieces++ % 2 === 0;
    const next = isTurnOfFirst ? choice[0]! : choice.reduce((a, b) => (left(b) < left(a) ? b : a));
    const known = this.#prefills.get(next.prompt);
    if (known) return known;
    const others = candidates.filter(({ prompt }) => prompt !== next.prompt && !this.#prefills.has(prompt));
    return this.#beginPrefill(weights, [next, ...others], most);
  }

  /** Sequences that share a prompt share its computation. */
  #beginPrefill(weights: Weights, sequences: readonly S[], most: number): Prefill {
    const wanted = new Map<Int32Array, WantedPrompt>();
    for (const { prompt, promptLogprobs } of sequences) {
      const known = wanted.get(prompt)?.promptLogprobs;
      const alternatives = promptLogprobs === undefined ? known : Math.max(promptLogprobs, known ?? 0);
      wanted.set(prompt, { tokens: prompt, promptLogprobs: alternatives });
    }
    const prefill = beginPrefill(this.#program, weights, [...wanted.values()], most);
    for (const tokens of prefill.members) this.#prefills.set(tokens, prefill);
    return prefill;
  }

  /** Begins a sequence whose prompt is computed: in a row of its own, unless its first token ends it. */
  async #begin(sequence: S, rows: StepRows, waiting: S[]): Promise<void> {
    const computed = this.#prefills.get(sequence.prompt)!.resultOf(sequence.prompt);
    const { row, logits, scores } = computed;
    let ended = sequence.computed?.(scores) ?? false;
    if (!ended) {
      const [draw] = await this.#program.draw(logits, [sequence.nextDraw(row)]);
      // It may have been cancelled in the meantime.
      if (!waiting.includes(sequence)) return;
      ended = sequence.take(draw!);
      this.#hooks.onTokens?.(1);
    }
    // A callback may have cancelled this sequence or others, which takes them out of the list.
    const place = waiting.indexOf(sequence);
    if (place >= 0) waiting.splice(place, 1);
    if (ended) return;
    rows.begin(this.active.length, sequence.prompt, computed);
    this.active.push(sequence);
  }

  #admits(): boolean {
    return this.#hooks.admits?.() ?? true;
  }

  /** One token of every active sequence. */
  async #step(): Promise<void> {
    const { pacing } = this.#hooks;
    const lengths = this.active.map(({ prompt, tokens }) => prompt.length + tokens.length);
    const lastTokens = this.active.map(({ tokens }) => tokens[tokens.length - 1]!);
    const startedAt = performance.now();
    const logits = await this.#decode!.step.run(lastTokens, lengths);
    const ended = new Set<S>();
    const rows = [...this.active.keys()];
    const atOnce = pacing
      ? Math.max(1, Math.floor(LOGITS_BETWEEN_PAUSES / this.#program.config.vocabSize))
      : rows.length;
    for (let first = 0; first < rows.length; first += atOnce) {
      if (first > 0) await new Promise((resolve) => setTimeout(resolve));
      const part = rows.slice(first, first + atOnce).filter((row) => !this.active[row]!.cancelled);
      const draws = await this.#program.draw(
        logits,
        part.map((row) => this.active[row]!.nextDraw(row)),
      );
      for (const [i, row] of part.entries()) {
        const sequence = this.active[row]!;
        // The sequence before may have cancelled this one.
        if (!sequence.cancelled && sequence.take(draws[i]!)) ended.add(sequence);
      }
      this.#hooks.onTokens?.(part.length);
    }
    pacing?.stepTook(performance.now() - startedAt);
    this.#leave((sequence) => sequence.cancelled || ended.has(sequence));
  }

  /** Frees the rows of these sequences. */
  #leave(gone: (sequence: S) => boolean): void {
    // From the last row on, so that the row that moves into a hole is never one that has ended.
    for (let row = this.active.length - 1; row >= 0; row--) {
      if (!gone(this.active[row]!)) continue;
      const last = this.active.pop()!;
      this.#decode!.rows.end(row, this.active.length, usedRow(last).cachedPositions);
      if (row < this.active.length) this.active[row] = last;
    }
  }

  /** Rows with a place for one more sequence, and steps over them; undefined where the sequence has to wait. */
  #rowsFor(weights: Weights, { mostPositions }: S): StepRows | undefined {
    const rows = this.#memory.rowsFor(mostPositions, this.active.map(usedRow), () => this.#leaveRows());
    if (rows === undefined || this.#decode?.rows === rows) return rows;
    this.#leaveRows();
    this.#decode = { rows, step: this.#program.decodeStep(weights, rows) };
    return rows;
  }

  #leaveRows(): void {
    this.#decode?.step.dispose();
    this.#decode = undefined;
  }

  /** Lets go of what was computed of these prompts; of all of them by default. */
  #forgetPrompts(gone: (prompt: Int32Array) => boolean = () => true): void {
    const forgotten = new Set<Prefill>();
    for (const [prompt, prefill] of this.#prefills) {
      if (!gone(prompt)) continue;
      this.#prefills.delete(prompt);
      forgotten.add(prefill);
    }
    // Prompts that were computed together are let go of together.
    for (const prefill of this.#prefills.values()) forgotten.delete(prefill);
    for (const prefill of forgotten) prefill.dispose();
  }
}

/** The keys and values of an active sequence are known but for those of the token that was drawn last. */
function usedRow({ prompt, tokens, mostPositions }: DecodedSequence): UsedRow {
  return { cachedPositions: prompt.length + tokens.length - 1, mostPositions };
}

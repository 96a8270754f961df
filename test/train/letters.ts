/**
 * A world that a bigram policy can master: the prompt is a digit, the right completion its letter (1 → a, 2 → b, 3 → c)
 * and the end token. With the tabular engine it shows in milliseconds whether a trainer trains.
 */

import { mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { diskFolder } from "../../src/disk-folder.ts";
import type { Capabilities } from "../../src/engine/contract/capabilities.ts";
import type { AdamParams, Datum, ForwardBackwardResult, Policy } from "../../src/engine/contract/policy.ts";
import type { LossSpec } from "../../src/losses/loss-spec.ts";
import type { WeightedReward } from "../../src/rewards/reward.ts";
import type { Problem, Task } from "../../src/tasks/task.ts";
import type { Tokenizer } from "../../src/tokenizer/tokenizer.ts";
import type {
  MetricsRow,
  RolloutRow,
  StageLog,
  TrainContext,
  TrainerState,
  WriteTrainerFiles,
} from "../../src/train/context.ts";
import { TabularEngine } from "../engine/tabular-engine.ts";

const SYMBOLS = ["", "1", "2", "3", "a", "b", "c"];
export const EOS = 0;

export const lettersTokenizer: Tokenizer = {
  vocabSize: SYMBOLS.length,
  eosTokenId: EOS,
  padTokenId: null,
  encode: (text) => Int32Array.from(text, (symbol) => SYMBOLS.indexOf(symbol)),
  decode: (tokens) => Array.from(tokens, (token) => SYMBOLS[token]!).join(""),
  tokenSpans: (text) => ({
    tokens: Int32Array.from(text, (symbol) => SYMBOLS.indexOf(symbol)),
    spans: Array.from(text, (_, i) => [i, i + 1] as const),
  }),
  applyChatTemplate: (messages) => messages.map(({ content }) => content).join(""),
  save: async () => {},
};

function problem(index: number): Problem {
  const digit = (index % 3) + 1;
  return { id: digit, prompt: String(digit), columns: { letter: "abc"[digit - 1]! } };
}

export const lettersTask: Task = {
  name: "letters",
  trainProblem: problem,
  trainCount: Number.POSITIVE_INFINITY,
  heldOut: (count) => Array.from({ length: count }, (_, i) => problem(i)),
  demonstrate: ({ columns }) => ({ completion: String(columns.letter), weightedSpans: [] }),
  judge: ({ columns }, completion) => ({
    solved: completion === columns.letter,
    wellFormed: /^[abc]$/.test(completion),
    tries: completion.length,
    answer: completion === "" ? null : completion,
    statistics: { digits: completion.replace(/[^1-3]/g, "").length },
  }),
};

/** 1 for the right letter and nothing else, half of it for starting with the right letter. */
export const letterReward: WeightedReward = {
  weight: 1,
  reward: {
    name: "letter",
    judge: ({ completion, columns }) => {
      if (completion === columns.letter) return { score: 1, reason: "right" };
      return completion.startsWith(String(columns.letter))
        ? { score: 0.5, reason: "goes on after the letter" }
        : { score: 0, reason: "another letter" };
    },
  },
};

/** A log that keeps everything, cut back like a run directory's when a checkpoint is resumed. */
export class MemoryLog implements StageLog {
  metricsRows: MetricsRow[] = [];
  rolloutRows: RolloutRow[] = [];
  timingRows: MetricsRow[] = [];
  events: { name: string; details: Readonly<Record<string, unknown>> }[] = [];

  metrics(row: MetricsRow): void {
    this.metricsRows.push(row);
  }
  rollouts(rows: readonly RolloutRow[]): void {
    this.rolloutRows.push(...rows);
  }
  timing(row: MetricsRow): void {
    this.timingRows.push(row);
  }
  event(name: string, details: Readonly<Record<string, unknown>>): void {
    this.events.push({ name, details });
  }
}

const LETTERS_MODEL = { vocabSize: SYMBOLS.length, maxContextTokens: 16, seed: 3 };

export function newEngine(options: { readonly eosTokenIds?: readonly number[] } = {}): TabularEngine {
  return new TabularEngine({ ...LETTERS_MODEL, ...options });
}

/** A context over the letters world; what a test cares about goes into `overrides`. */
export function lettersContext(engine: Policy, log: StageLog, overrides: Partial<TrainContext> = {}): TrainContext {
  return {
    engine,
    tokenizer: lettersTokenizer,
    task: lettersTask,
    seed: 7,
    signal: new AbortController().signal,
    log,
    ...overrides,
  };
}

/** A checkpoint hook that keeps the last state of engine and trainer in `directory`. */
export function checkpointInto(directory: string, engine: Policy, every: number) {
  const kept: { state?: TrainerState; directory: string } = { directory: join(directory, "state") };
  const save = async (_step: number, state: TrainerState, files?: WriteTrainerFiles) => {
    await rm(kept.directory, { recursive: true, force: true });
    await mkdir(kept.directory, { recursive: true });
    await engine.saveState(kept.directory);
    await files?.(diskFolder(kept.directory));
    kept.state = JSON.parse(JSON.stringify(state));
  };
  return { kept, hook: { every, save } };
}

/** An engine that says it adds noise to embeddings, keeps what it is asked for, and adds none. */
export class NoisyEngine extends TabularEngine {
  override readonly capabilities: Capabilities;
  /** Of every training pass so far. */
  readonly losses: LossSpec[] = [];

  constructor() {
    super(LETTERS_MODEL);
    this.capabilities = { ...newEngine().capabilities, embeddingNoise: true };
  }

  override forwardBackward(data: readonly Datum[], loss: LossSpec): Promise<ForwardBackwardResult> {
    this.losses.push(loss);
    const { embeddingNoise: _, ...silent } = loss;
    return super.forwardBackward(data, silent);
  }

  override async step(data: readonly Datum[], loss: LossSpec, adam: AdamParams) {
    return { ...(await this.forwardBackward(data, loss)), ...(await this.optimStep(adam)) };
  }
}

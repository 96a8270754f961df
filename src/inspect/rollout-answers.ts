/**
 * What the dashboard asks of a run's rollouts, and the answers: a page of a filtered list, and one completion opened, with
 * its group and the same problem over time.
 */

import type { RolloutRecord } from "../run/records.ts";
import { RolloutIndex } from "./rollout-index.ts";
import { type RolloutFilter, type RolloutOrder, RolloutQueries } from "./rollout-query.ts";
import { RolloutReader } from "./rollout-row.ts";
import { type RunTokenizers, tokenTexts } from "./token-view.ts";

/** Characters of a completion in a list. */
const SNIPPET = 240;
/** Rows in a page of a list at most. */
const MAX_PAGE = 500;
/** Members of a group, and appearances of a problem, that are listed at most. */
const MAX_RELATED = 400;
/** Characters of one completion that are sent: a page that shows megabytes helps nobody. */
const MAX_SHOWN_TEXT = 200_000;
/** Tokens of one completion that are sent. */
const MAX_SHOWN_TOKENS = 20_000;

/** A row of a list. */
export interface RolloutItem {
  readonly row: number;
  readonly stage: string;
  readonly iteration: number | null;
  readonly promptId: number | null;
  readonly sample: number | null;
  readonly reward: number | null;
  readonly advantage: number | null;
  readonly lengthTokens: number | null;
  readonly solved: boolean | null;
  readonly cut: boolean;
  readonly scores: Readonly<Record<string, number | null>>;
  /** Beginnings of the texts. */
  readonly prompt: string;
  readonly completion: string;
}

/** A page of a list. */
export interface RolloutPage {
  readonly total: number;
  readonly matched: number;
  readonly offset: number;
  readonly items: readonly RolloutItem[];
  readonly solved: number;
  readonly judged: number;
  readonly meanReward: number | null;
  readonly meanLength: number | null;
  readonly stages: readonly string[];
  readonly rewards: readonly string[];
  readonly damaged: number;
  /** Texts were too many to be kept: text filters do not see all of them. */
  readonly textsIncomplete: boolean;
  /** Milliseconds that finding and sorting took. */
  readonly milliseconds: number;
}

/** One completion, opened. */
export interface OpenedRollout {
  readonly item: RolloutItem;
  readonly record: RolloutRecord;
  /** How many characters were cut off, 0 where none. */
  readonly hiddenCharacters: number;
  /** Texts of `record.tokens`; undefined where the run kept none, or its tokenizer is not here. */
  readonly tokenTexts: readonly string[] | undefined;
  readonly group: readonly RolloutItem[];
  /** The same prompt in the whole run, oldest first. */
  readonly sameProblem: readonly RolloutItem[];
}

/** A request about the run in a directory. */
export type RolloutRequest =
  | {
      readonly kind: "page";
      readonly filter: RolloutFilter;
      readonly order: RolloutOrder;
      readonly offset: number;
      readonly limit: number;
    }
  | { readonly kind: "open"; readonly row: number; readonly recipe: unknown };

/** The answer to each kind. */
export interface RolloutAnswers {
  readonly page: RolloutPage;
  /** undefined where there is no such row. */
  readonly open: OpenedRollout | undefined;
}

/** The rollouts of one run. */
export class Rollouts {
  readonly index: RolloutIndex;
  private readonly queries: RolloutQueries;
  private readonly reader: RolloutReader;
  private readonly tokenizers: RunTokenizers;

  constructor(directory: string, tokenizers: RunTokenizers) {
    this.index = new RolloutIndex(directory);
    this.queries = new RolloutQueries(this.index);
    this.reader = new RolloutReader(this.index);
    this.tokenizers = tokenizers;
  }

  /** Throws RunDirError for a filter that cannot be. */
  async answer(request: RolloutRequest): Promise<RolloutAnswers[RolloutRequest["kind"]]> {
    await this.index.refresh();
    return request.kind === "page" ? this.page(request) : this.open(request);
  }

  private page({ filter, order, offset, limit }: Extract<RolloutRequest, { kind: "page" }>): RolloutPage {
    const { index } = this;
    const begun = performance.now();
    const { rows, solved, judged, meanReward, meanLength } = this.queries.find(filter, order);
    const milliseconds = performance.now() - begun;
    return {
      total: index.length - index.firstKept,
      matched: rows.length,
      offset,
      items: Array.from(rows.subarray(offset, offset + Math.min(limit, MAX_PAGE)), (row) => this.item(row)),
      ...{ solved, judged, meanReward, meanLength },
      stages: index.stages,
      rewards: [...index.scores.keys()],
      damaged: index.damaged,
      textsIncomplete: !index.hasAllTexts,
      milliseconds,
    };
  }

  private async open({ row, recipe }: Extract<RolloutRequest, { kind: "open" }>): Promise<OpenedRollout | undefined> {
    const record = await this.reader.read(row);
    if (record === undefined) return undefined;
    const { index } = this;
    const group: number[] = [];
    const sameProblem: number[] = [];
    const prompt = index.prompt.at(row);
    for (let other = index.firstKept; other < index.length; other++) {
      if (index.prompt.at(other) !== prompt) continue;
      sameProblem.push(other);
      const isTogether =
        index.stage.at(other) === index.stage.at(row) &&
        index.numbers.iteration.at(other) === index.numbers.iteration.at(row) &&
        index.numbers.promptId.at(other) === index.numbers.promptId.at(row);
      if (isTogether) group.push(other);
    }
    return {
      item: this.item(row),
      record: shortened(record),
      hiddenCharacters: Math.max(0, record.completion.length - MAX_SHOWN_TEXT),
      tokenTexts: await this.texts(record, recipe),
      group: group.slice(0, MAX_RELATED).map((one) => this.item(one)),
      sameProblem: thinned(sameProblem).map((one) => this.item(one)),
    };
  }

  private async texts({ tokens }: RolloutRecord, recipe: unknown): Promise<string[] | undefined> {
    if (tokens === undefined) return undefined;
    const tokenizer = await this.tokenizers.of(this.index.directory, recipe);
    return tokenizer && tokenTexts(tokens.slice(0, MAX_SHOWN_TOKENS), tokenizer);
  }

  private item(row: number): RolloutItem {
    const { index } = this;
    const value = (one: number) => (Number.isNaN(one) ? null : one);
    const verdict = index.solved.at(row);
    return {
      row,
      stage: index.stages[index.stage.at(row)] ?? "",
      iteration: value(index.numbers.iteration.at(row)),
      promptId: value(index.numbers.promptId.at(row)),
      sample: value(index.numbers.sample.at(row)),
      reward: value(index.numbers.reward.at(row)),
      advantage: value(index.numbers.advantage.at(row)),
      lengthTokens: value(index.numbers.length.at(row)),
      solved: verdict === 2 ? null : verdict === 1,
      cut: index.cut.at(row) === 1,
      scores: Object.fromEntries([...index.scores].map(([name, column]) => [name, value(column.at(row))])),
      prompt: index.prompts[index.prompt.at(row)]!.slice(0, SNIPPET),
      completion: (index.completions[row] ?? "").slice(0, SNIPPET),
    };
  }
}

/** Parts of a record that have a number for each token. */
const PER_TOKEN = ["tokens", "samplerLogprobs", "tokenAdvantages", "ratios", "entropies"] as const;

function shortened(record: RolloutRecord): RolloutRecord {
  const perToken = PER_TOKEN.flatMap((name) => {
    const values = record[name];
    return values === undefined ? [] : [[name, values.slice(0, MAX_SHOWN_TOKENS)] as const];
  });
  return {
    ...record,
    prompt: record.prompt.slice(0, MAX_SHOWN_TEXT),
    completion: record.completion.slice(0, MAX_SHOWN_TEXT),
    ...Object.fromEntries(perToken),
  };
}

/** At most `MAX_RELATED` of the rows, evenly spread, the last among them. */
function thinned(rows: readonly number[]): number[] {
  if (rows.length <= MAX_RELATED) return [...rows];
  return Array.from({ length: MAX_RELATED }, (_, i) => rows[Math.floor((i * (rows.length - 1)) / (MAX_RELATED - 1))]!);
}

/**
 * The sample data sets of `recipes/data`, all of our own making: the forms are those of data sets that people train on,
 * the content is arithmetic that this file makes up. Run it to write them anew: `npx tsx test/data/sample-data.ts`; a test
 * holds the files in the repository against it.
 *
 *     countdown-3to4       Jiayi-Pan/Countdown-Tasks-3to4         nums, target; as Parquet in a folder, JSONL and CSV
 *     numinamath-tir       AI-MO/NuminaMath-TIR                   problem, solution, messages; train and test
 *     bespoke-stratos-17k  bespokelabs/Bespoke-Stratos-17k        system, conversations with from and value
 */

import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { Random } from "../../src/random.ts";
import { generateCountdown } from "../../src/tasks/countdown/generator.ts";
import { countdownOptionsSchema } from "../../src/tasks/countdown/options.ts";
import { type ColumnType, parquetBytes } from "./write-parquet.ts";

/** Where the files lie. */
export const SAMPLE_DATA = fileURLToPath(new URL("../../recipes/data", import.meta.url));

const COUNTDOWN_ROWS = 200;
const CONVERSATION_ROWS = { train: 60, test: 12 };

type Types = Readonly<Record<string, ColumnType>>;
const COUNTDOWN: Types = { target: "INT64", nums: ["INT64"] };
const NUMINA: Types = { problem: "STRING", solution: "STRING", messages: [["content", "role"]] };
const STRATOS: Types = { system: "STRING", conversations: [["from", "value"]] };

/** Every file by its path in `recipes/data`. */
export function sampleFiles(): Map<string, Buffer> {
  const countdown = countdownRows();
  const problems = wordProblems(CONVERSATION_ROWS.train + CONVERSATION_ROWS.test);
  const numina = problems.map(asNuminaMath);
  const stratos = problems.slice(0, CONVERSATION_ROWS.train).map(asStratos);
  const csv = countdown.map(({ nums, target }) => `${target},"[${nums.join(", ")}]"`);
  return new Map([
    ["countdown-3to4.jsonl", Buffer.from(`${countdown.map((row) => JSON.stringify(row)).join("\n")}\n`)],
    ["countdown-3to4.csv", Buffer.from(`${["target,nums", ...csv].join("\n")}\n`)],
    ["countdown-3to4/README.md", card("countdown-3to4", "Jiayi-Pan/Countdown-Tasks-3to4", ["train"])],
    ["countdown-3to4/data/train-00000-of-00001.parquet", parquetBytes(COUNTDOWN, countdown)],
    ["numinamath-tir/README.md", card("numinamath-tir", "AI-MO/NuminaMath-TIR", ["train", "test"])],
    [
      "numinamath-tir/data/train-00000-of-00001.parquet",
      parquetBytes(NUMINA, numina.slice(0, CONVERSATION_ROWS.train)),
    ],
    ["numinamath-tir/data/test-00000-of-00001.parquet", parquetBytes(NUMINA, numina.slice(CONVERSATION_ROWS.train))],
    ["bespoke-stratos-17k/README.md", card("bespoke-stratos-17k", "bespokelabs/Bespoke-Stratos-17k", ["train"])],
    ["bespoke-stratos-17k/data/train-00000-of-00001.parquet", parquetBytes(STRATOS, stratos)],
  ]);
}

function card(name: string, original: string, splits: readonly string[]): Buffer {
  const files = splits.map((split) => `  - split: ${split}\n    path: data/${split}-*\n`).join("");
  return Buffer.from(
    `---\nconfigs:\n- config_name: default\n  data_files:\n${files}license: mit\n---\n\n# ${name}\n\n` +
      `A small data set in the form of ${original}. None of its rows is from there: test/data/sample-data.ts makes them up.\n`,
  );
}

function countdownRows(): { target: number; nums: number[] }[] {
  const options = countdownOptionsSchema.parse({});
  return Array.from({ length: COUNTDOWN_ROWS }, (_, i) => {
    const { numbers, target } = generateCountdown(options, 3, "sample-data", i, () => true);
    return { target: Number(target.numerator), nums: [...numbers] };
  });
}

/** A product and a difference, told as a story. */
interface WordProblem {
  readonly text: string;
  readonly rows: number;
  readonly each: number;
  readonly lost: number;
}

function wordProblems(count: number): WordProblem[] {
  const random = new Random(5, "sample-data/problems");
  const stories = [
    ["A farmer plants", "rows of", "trees", "trees die. How many trees are left?"],
    ["A shop has", "shelves of", "books", "books are sold. How many books are left?"],
    ["A baker fills", "trays with", "rolls each", "rolls are eaten. How many rolls are left?"],
  ] as const;
  return Array.from({ length: count }, () => {
    const [who, groups, things, end] = random.choice(stories);
    const [rows, each] = [2 + random.integer(8), 2 + random.integer(8)];
    const lost = 1 + random.integer(rows * each - 1);
    return { text: `${who} ${rows} ${groups} ${each} ${things}; ${lost} ${end}`, rows, each, lost };
  });
}

function asNuminaMath({ text, rows, each, lost }: WordProblem): object & Record<string, unknown> {
  const left = rows * each - lost;
  const solution =
    `Multiply, then subtract.\n\n\`\`\`python\nprint(${rows} * ${each} - ${lost})\n\`\`\`\n` +
    `\`\`\`output\n${left}\n\`\`\`\nSo \\(${rows} \\cdot ${each} - ${lost} = ${left}\\): \\(\\boxed{${left}}\\)`;
  const messages = [
    { content: text, role: "user" },
    { content: solution, role: "assistant" },
  ];
  return { problem: text, solution, messages };
}

function asStratos({ text, rows, each, lost }: WordProblem): Record<string, unknown> {
  const [all, left] = [rows * each, rows * each - lost];
  return {
    system: "Think step by step between the thought marks, then give the solution between the solution marks.",
    conversations: [
      { from: "user", value: `Return your final response within \\boxed{}. ${text}` },
      {
        from: "assistant",
        value:
          `<|begin_of_thought|>\n\n${rows} times ${each} is ${all}. Wait, ${lost} are gone: ${all} - ${lost} = ${left}.\n\n` +
          `<|end_of_thought|>\n\n<|begin_of_solution|>\n\n\\boxed{${left}}\n\n<|end_of_solution|>`,
      },
    ],
  };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const [path, bytes] of sampleFiles()) {
    mkdirSync(dirname(join(SAMPLE_DATA, path)), { recursive: true });
    writeFileSync(join(SAMPLE_DATA, path), bytes);
  }
}

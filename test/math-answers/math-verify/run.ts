/**
 * `npm run math:verify-cases -- FOLDER`: Math-Verify's own test cases against our judge. FOLDER is a checkout of
 * https://github.com/huggingface/Math-Verify; nothing of it is part of this repository, and nothing of it is run: its test
 * files are parsed (`read_cases.py`, which needs Python 3.9 and no package).
 *
 * A disagreement is ours, unless it is out of scope (a case of one of Math-Verify's options) or arguable. Which cases are
 * arguable stands in `arguable.json` by the hash of the case, with the reason in our words: so a case that is new or has
 * changed upstream counts as ours until somebody has looked at it.
 */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { judgeMath } from "../../../src/math-answers/judge-answer.ts";

const USAGE = `npm run math:verify-cases -- FOLDER [--python PROGRAM] [--json]

Runs the test cases of a checkout of Math-Verify against the judge of math answers.

  FOLDER            git clone https://github.com/huggingface/Math-Verify FOLDER
  --python PROGRAM  Python 3.9 or later, to parse the test files with (default: python3)
  --json            prints the result as JSON

Exit code: 0 where no disagreement is ours, 1 where one is, 2 where the cases cannot be read.`;

interface Case {
  readonly place: string;
  readonly pred: string;
  readonly gold?: string;
  /** 0 or 1; of a test of extraction what is extracted, last the text. */
  readonly expected?: number | readonly string[];
  readonly result?: number;
  readonly precision?: number;
  readonly strict?: boolean;
  readonly allow_set_relation_comp?: boolean;
}

type Class = "ours" | "arguable" | "out of scope";

interface Disagreement {
  readonly class: Class;
  readonly place: string;
  readonly hash: string;
  readonly gold: string;
  readonly pred: string;
  readonly expected: "right" | "not right";
  readonly why: string;
}

/** Math-Verify's default: numbers are compared to so many decimal places. */
const DEFAULT_PRECISION = 6;

function main(): number {
  const { values, positionals } = parseArgs({
    args: process.argv.slice(2),
    allowPositionals: true,
    options: { python: { type: "string", default: "python3" }, json: { type: "boolean" }, help: { type: "boolean" } },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const [folder] = positionals;
  if (positionals.length !== 1 || folder === undefined) return refuse(`expected one folder, got ${positionals.length}`);
  if (!existsSync(join(folder, "tests")))
    return refuse(`${folder} has no folder tests: expected a checkout of Math-Verify`);
  const read = readCases(folder, values.python);
  if (typeof read === "string") return refuse(read);
  const disagreements = read.cases.flatMap((one) => disagreementOf(one) ?? []);
  if (values.json) {
    console.log(JSON.stringify({ cases: read.cases.length, skipped: read.skipped, disagreements }, undefined, 2));
  } else report(read, disagreements);
  return disagreements.some((one) => one.class === "ours") ? 1 : 0;
}

function refuse(fault: string): number {
  console.error(`math:verify-cases: ${fault}.\n\n${USAGE}`);
  return 2;
}

interface Read {
  readonly cases: readonly Case[];
  readonly skipped: readonly { readonly place: string; readonly why: string }[];
}

/** The cases of the checkout, or why there are none. */
function readCases(folder: string, python: string): Read | string {
  try {
    const script = join(import.meta.dirname, "read_cases.py");
    const output = execFileSync(python, [script, folder], {
      encoding: "utf8",
      maxBuffer: 1 << 28,
      stdio: ["ignore", "pipe", "pipe"],
    });
    return JSON.parse(output) as Read;
  } catch (error) {
    const { code, stderr } = error as { code?: string; stderr?: string };
    if (code === "ENOENT")
      return `${python} was not found: Python 3.9 or later parses the test files; name one by --python`;
    return `the test files could not be read: ${(stderr ?? String(error)).trim().split("\n").at(-1)}`;
  }
}

const arguable = JSON.parse(readFileSync(join(import.meta.dirname, "arguable.json"), "utf8")) as Readonly<
  Record<string, string>
>;

/** How a case is judged otherwise than Math-Verify's test says; undefined where it is not. */
function disagreementOf(one: Case): Disagreement | undefined {
  const { place, pred } = one;
  const gold = goldOf(one);
  const isExpected = Array.isArray(one.expected) ? one.expected.length > 0 : (one.expected ?? one.result) === 1;
  // Where nothing is to be extracted, no choice is right.
  const golds = gold === undefined ? ["A", "B", "C", "D"] : [gold];
  const verdicts = golds.map((text) => judgeMath("", pred, text));
  const [verdict] = verdicts;
  if (verdicts.some((each) => each.verdict === "right") === isExpected) return undefined;
  const hash = createHash("sha256")
    .update(JSON.stringify([gold ?? null, pred, isExpected]))
    .digest("hex")
    .slice(0, 12);
  const option = optionOf(one);
  const [kind, why]: [Class, string] =
    option !== undefined
      ? ["out of scope", option]
      : arguable[hash] !== undefined
        ? ["arguable", arguable[hash]!]
        : ["ours", `${verdict!.verdict}: ${verdict!.reason}`];
  return { class: kind, place, hash, gold: gold ?? "", pred, expected: isExpected ? "right" : "not right", why };
}

/** The gold answer; of a test of extraction the text that is to be extracted, undefined where that is nothing. */
const goldOf = ({ gold, expected }: Case): string | undefined =>
  gold ?? (Array.isArray(expected) ? (expected.at(-1) as string | undefined) : undefined);

/** The option of Math-Verify that a case is about, which our judge does not have. */
function optionOf({ precision, strict, allow_set_relation_comp: setRelation }: Case): string | undefined {
  if (precision !== undefined && precision < DEFAULT_PRECISION) return `numbers rounded to ${precision} places`;
  if (strict === false) return "strict=False: symbols may have other names";
  return setRelation === false ? "allow_set_relation_comp=False: a chain of inequalities is no set" : undefined;
}

function report({ cases, skipped }: Read, disagreements: readonly Disagreement[]): void {
  const agreed = cases.length - disagreements.length;
  console.log(`${agreed} of ${cases.length} cases are judged as Math-Verify's tests say.`);
  for (const kind of ["ours", "arguable", "out of scope"] as const) {
    const those = disagreements.filter((one) => one.class === kind);
    console.log(`\n${kind}: ${those.length}`);
    for (const { place, hash, gold, pred, expected, why } of those) {
      console.log(`  ${place} (${hash}), should be ${expected}`);
      console.log(`    gold ${shown(gold)}\n    pred ${shown(pred)}\n    ${why}`);
    }
  }
  for (const { place, why } of skipped) console.log(`\nnot read: ${place}: ${why}`);
}

/** A long text by its end, where the answer stands. */
const shown = (text: string): string => {
  const line = text.replace(/\s+/g, " ");
  return line.length <= 100 ? line : `…${line.slice(-100)}`;
};

process.exitCode = main();

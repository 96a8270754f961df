/**
 * `npm run compare:tokenizers -- FOLDER`: each `tokenizer.json` below a folder, by Python's `tokenizers` and by Aha, on 500
 * texts: ids with and without special tokens, and what they decode to. Files beside it (tokenizer_config.json, …) are left
 * out, since Python's package does not read them. Ends with code 1 where a result differs.
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointError, DataError } from "../../src/errors.ts";
import { HuggingFaceTokenizer } from "../../src/tokenizer/huggingface.ts";
import { filePathsBelow, readCommandLine, runPython } from "./collect-files.ts";
import { sampleTexts } from "./texts.ts";

const TEXTS = 500;
const SHOWN_OF_EACH = 6;

interface Encoded {
  readonly name: string;
  readonly error?: string;
  readonly plain: readonly (readonly number[])[];
  readonly special: readonly (readonly number[])[];
  readonly decoded: readonly string[];
  readonly bare: readonly string[];
}

const { folder, python } = readCommandLine("compare:tokenizers", ["tokenizers"]);
const names = await filePathsBelow(folder, (name) => name === "tokenizer.json");
if (names.length === 0) {
  console.error(`There is no tokenizer.json below ${folder}.`);
  process.exit(2);
}
const texts = sampleTexts(TEXTS);
let different = 0;
for (const name of names) {
  const path = join(folder, name);
  const line = runPython(python, new URL("encode_texts.py", import.meta.url), { files: { [name]: path }, texts });
  different += await compareTokenizer(JSON.parse(line) as Encoded, path);
}
console.log(`${names.length} tokenizers, ${texts.length} texts each: ${different} results differ`);
process.exitCode = different === 0 ? 0 : 1;

async function compareTokenizer(theirs: Encoded, path: string): Promise<number> {
  if (theirs.error !== undefined) {
    console.log(`${theirs.name}: not read by Python: ${theirs.error}`);
    return 0;
  }
  let own: HuggingFaceTokenizer;
  try {
    own = new HuggingFaceTokenizer({ "tokenizer.json": await readFile(path, "utf8") }, theirs.name);
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    console.log(`${theirs.name}: refused by name: ${error.message}`);
    return 0;
  }
  let count = 0;
  const check = (kind: string, i: number, expected: unknown, compute: () => unknown): void => {
    const [left, right] = [JSON.stringify(expected), JSON.stringify(attempt(compute))];
    if (left === right) return;
    if (count++ < SHOWN_OF_EACH) {
      console.log(
        `${theirs.name}, ${kind} of ${JSON.stringify(texts[i])}:\n  tokenizers ${left}\n  here       ${right}`,
      );
    }
  };
  texts.forEach((text, i) => {
    check("ids", i, theirs.plain[i], () => [...own.encode(text)]);
    check("ids with special tokens", i, theirs.special[i], () => [...own.encode(text, { addSpecial: true })]);
    check("decoded", i, theirs.decoded[i], () => own.decode(theirs.plain[i]!, { keepSpecial: true }));
    check("decoded without special tokens", i, theirs.bare[i], () => own.decode(theirs.plain[i]!));
  });
  console.log(`${theirs.name}: ${count === 0 ? "equal" : `${count} results differ`}`);
  return count;
}

function attempt(compute: () => unknown): unknown {
  try {
    return compute();
  } catch (error) {
    if (error instanceof DataError) return `refused: ${error.message}`;
    throw error;
  }
}

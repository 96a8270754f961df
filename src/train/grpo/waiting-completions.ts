/**
 * Completions that were sampled for the next iteration, as a checkpoint keeps them: they are of weights that are gone, so they
 * cannot be sampled again.
 *
 *     trainer-completions.json    how many there are, from which problem on, and the length and end of each
 *     trainer-completions.bin     of all of them one after another: tokens (int32), log-probabilities (float32); and where the
 *                                 draws were restricted, how many tokens were kept at each place, and which (int32)
 *
 * Prompts and texts are functions of the problems' numbers and the tokens, so they are made again.
 */

import { z } from "zod";
import type { SampledSequence } from "../../engine/contract/sampler.ts";
import { CheckpointError } from "../../errors.ts";
import { type Folder, openedFile, readFully, writeJson } from "../../folder.ts";
import { parseJson } from "../../json-text.ts";
import type { Completion } from "../../rollout/collect.ts";
import { sumOf } from "../../statistics.ts";

const LIST_FILE = "trainer-completions.json";
const NUMBERS_FILE = "trainer-completions.bin";
/** Some hundred thousand completions. */
const MOST_LIST_BYTES = 2 ** 26;
/** Of the numbers: far more than the tokens that an iteration samples, with thousands that were kept for each. */
const MOST_NUMBERS_BYTES = 2 ** 34;

const count = z.int().min(0);
const listSchema = z.strictObject({
  format: z.literal(1),
  firstPrompt: count,
  groupSize: z.int().min(1),
  completions: z
    .array(
      z.strictObject({
        tokens: count,
        finishReason: z.enum(["stop", "length"]),
        /** Tokens that were kept, over all places; absent where draws were not restricted. */
        kept: count.optional(),
      }),
    )
    .min(1),
});

/** What is expected of the completions: whole groups of the next problems, of tokens of the model. */
export interface ExpectedCompletions {
  readonly firstPrompt: number;
  readonly prompts: number;
  readonly groupSize: number;
  readonly maxCompletionTokens: number;
  readonly vocabSize: number;
  /** Whether draws are restricted by top-p or top-k. */
  readonly hasKept: boolean;
}

type Drawn = Pick<Completion, "tokens" | "samplerLogprobs" | "keptTokens" | "finishReason">;

/** Writes completions of whole groups, the first of the problem `firstPrompt`. */
export async function writeWaiting(
  folder: Folder,
  completions: readonly Drawn[],
  { firstPrompt, groupSize }: Pick<ExpectedCompletions, "firstPrompt" | "groupSize">,
): Promise<void> {
  await folder.write(NUMBERS_FILE, async (sink) => {
    const write = ({ buffer, byteOffset, byteLength }: Int32Array | Float32Array) =>
      sink.write(new Uint8Array(buffer, byteOffset, byteLength));
    for (const { tokens } of completions) await write(tokens);
    for (const { samplerLogprobs } of completions) await write(samplerLogprobs);
    for (const { keptTokens } of completions) {
      if (keptTokens) await write(Int32Array.from(keptTokens, ({ length }) => length));
    }
    for (const { keptTokens } of completions) if (keptTokens) await write(joined(keptTokens));
  });
  const list = completions.map(({ tokens, finishReason, keptTokens }) => ({
    tokens: tokens.length,
    finishReason,
    ...(keptTokens && { kept: sumOf(keptTokens.map(({ length }) => length)) }),
  }));
  await writeJson(folder, LIST_FILE, { format: 1, firstPrompt, groupSize, completions: list });
}

/** One after another: a file is written in pieces, and a piece a token would be a million of them. */
function joined(parts: readonly Int32Array[]): Int32Array {
  const all = new Int32Array(sumOf(parts.map(({ length }) => length)));
  let place = 0;
  for (const part of parts) {
    all.set(part, place);
    place += part.length;
  }
  return all;
}

/**
 * The sequences in a folder, in the order of their problems.
 *
 * @throws CheckpointError where there are none, or others than those expected
 */
export async function readWaiting(folder: Folder, expected: ExpectedCompletions): Promise<SampledSequence[]> {
  const path = folder.pathOf(LIST_FILE);
  const text = await folder.readText(LIST_FILE, { maxBytes: MOST_LIST_BYTES, error: CheckpointError });
  if (text === undefined) throw notSound(path, "it does not exist, and this iteration was sampled ahead");
  const parsed = listSchema.safeParse(parseJson(text, path, CheckpointError));
  if (!parsed.success) throw notSound(path, z.prettifyError(parsed.error));
  const { firstPrompt, groupSize, completions: list } = parsed.data;
  const { prompts, maxCompletionTokens } = expected;
  if (firstPrompt !== expected.firstPrompt || groupSize !== expected.groupSize || list.length !== prompts * groupSize) {
    throw notSound(
      path,
      `it has ${list.length} completions in groups of ${groupSize} from problem ${firstPrompt} on, and the iteration needs ` +
        `${prompts * expected.groupSize} in groups of ${expected.groupSize} from ${expected.firstPrompt} on`,
    );
  }
  if (list.some(({ tokens }) => tokens > maxCompletionTokens)) {
    throw notSound(path, `a completion is longer than maxCompletionTokens (${maxCompletionTokens})`);
  }
  if (list.some(({ kept }) => (kept !== undefined) !== expected.hasKept)) {
    throw notSound(path, `${expected.hasKept ? "a completion lacks" : "a completion has"} tokens that were kept`);
  }
  return readNumbers(folder, list, expected);
}

type Listed = z.output<typeof listSchema>["completions"];

async function readNumbers(
  folder: Folder,
  list: Listed,
  { groupSize, vocabSize, hasKept }: ExpectedCompletions,
): Promise<SampledSequence[]> {
  const path = folder.pathOf(NUMBERS_FILE);
  const total = sumOf(list.map(({ tokens }) => tokens));
  const totalKept = sumOf(list.map(({ kept = 0 }) => kept));
  const [tokens, logprobs] = [new Int32Array(total), new Float32Array(total)];
  const counts = new Int32Array(hasKept ? total : 0);
  const expectedBytes = 4 * (2 * total + counts.length + totalKept);
  if (expectedBytes > MOST_NUMBERS_BYTES) throw notSound(path, `${expectedBytes} bytes are more than can be read`);
  const kept = await openedFile(folder, NUMBERS_FILE, async (file) => {
    if (file.sizeBytes !== expectedBytes) {
      throw notSound(path, `it has ${file.sizeBytes} bytes, and its list needs ${expectedBytes}`);
    }
    let position = 0;
    const read = async <T extends Int32Array | Float32Array>(numbers: T): Promise<T> => {
      const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
      await readFully(file, bytes, position, () => notSound(path, "it ends too early"));
      position += numbers.byteLength;
      return numbers;
    };
    await read(tokens);
    await read(logprobs);
    await read(counts);
    const all = await read(new Int32Array(totalKept));
    await file.close();
    return all;
  });
  const isToken = (id: number) => id >= 0 && id < vocabSize;
  if (!tokens.every(isToken) || !kept.every(isToken)) throw notSound(path, "it has tokens that the model does not");
  if (!logprobs.every(Number.isFinite)) throw notSound(path, "it has log-probabilities that are not finite");
  if (counts.some((own) => own < 1) || sumOf(counts) !== totalKept) {
    throw notSound(path, "its counts of kept tokens do not fit");
  }
  const take = { place: 0, kept: 0 };
  return list.map(({ tokens: length, finishReason }, i): SampledSequence => {
    const [first, end] = [take.place, take.place + length];
    take.place = end;
    const keptTokens = Array.from(counts.subarray(first, end), (own) => {
      take.kept += own;
      return kept.slice(take.kept - own, take.kept);
    });
    return {
      promptIndex: Math.floor(i / groupSize),
      sampleIndex: i % groupSize,
      tokens: tokens.slice(first, end),
      logprobs: logprobs.slice(first, end),
      ...(hasKept && { keptTokens }),
      finishReason,
    };
  });
}

function notSound(path: string, what: string): CheckpointError {
  return new CheckpointError(
    `${path} does not hold the completions that were sampled ahead (maxStaleness): ${what}. Take an earlier checkpoint, or ` +
      "start the stage anew.",
  );
}

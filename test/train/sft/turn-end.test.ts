/** The end of a turn: what is learned as such, where it stops, and what is said of it. */

import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { diskFolder } from "../../../src/disk-folder.ts";
import { turnEndFindings } from "../../../src/doctor/task-findings.ts";
import { nameTurnEnd } from "../../../src/recipe/turn-end.ts";
import type { Task } from "../../../src/tasks/task.ts";
import { HuggingFaceTokenizer } from "../../../src/tokenizer/huggingface.ts";
import { stopTokens } from "../../../src/tokenizer/stop-tokens.ts";
import { readTokenizerFiles, type TokenizerFiles } from "../../../src/tokenizer/tokenizer-files.ts";
import { demonstrationTokens } from "../../../src/train/sft/demonstration-stream.ts";
import { lettersTask } from "../letters.ts";

const GOLDEN = "test/golden/tokenizers/qwen-like";
const CHATML =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}" +
  "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";

let files: TokenizerFiles;
/** As Qwen's base models: texts end with <|endoftext|>, turns with <|im_end|>. */
let base: HuggingFaceTokenizer;
const withConfig = (changes: object) =>
  new HuggingFaceTokenizer(
    {
      ...files,
      "tokenizer_config.json": JSON.stringify({ ...JSON.parse(files["tokenizer_config.json"]!), ...changes }),
    },
    "changed",
  );
beforeAll(async () => {
  files = await readTokenizerFiles(diskFolder(GOLDEN));
  base = withConfig({ eos_token: "<|endoftext|>", chat_template: CHATML });
});

const [TEXT_END, TURN_END] = [0, 2];
const answer = (completion: string) => ({ completion, weightedSpans: [] });
const ends = (tokens: ArrayLike<number>) => Array.from(tokens).slice(-2);

describe("a base model whose end of sequence is not the template's end of a turn", () => {
  it("learns the template's in a conversation, its own behind plain text", () => {
    expect([...base.turnEndTokens]).toEqual([TURN_END]);
    expect(demonstrationTokens(answer("4"), base, true).completionTokens.at(-1)).toBe(TURN_END);
    expect(demonstrationTokens(answer("4"), base).completionTokens.at(-1)).toBe(TEXT_END);
  });

  it("learns one end for every turn of a conversation", () => {
    const spans = [
      { start: "one<|im_end|>".length, end: "one<|im_end|>\n<|im_start|>user\n2<|im_end|>\n".length, weight: 0 },
    ];
    const completion = "one<|im_end|>\n<|im_start|>user\n2<|im_end|>\ntwo";
    const { completionTokens, weights } = demonstrationTokens({ completion, weightedSpans: spans }, base, true);
    expect(completionTokens).toHaveLength(weights.length);
    const learned = completionTokens.filter((_, i) => weights[i] === 1);
    expect(base.decode(learned, { keepSpecial: true })).toBe("one<|im_end|>two<|im_end|>");
  });

  it("gets no second end where the text has one", () => {
    for (const text of ["4<|im_end|>", "4<|endoftext|>"]) {
      const tokens = demonstrationTokens(answer(text), base, true).completionTokens;
      expect([...tokens]).toEqual([...base.encode(text)]);
    }
    expect(ends(demonstrationTokens(answer("4<|endoftext|>"), base).completionTokens)[0]).not.toBe(TEXT_END);
    // Plain text does not end with the end of a turn.
    expect(ends(demonstrationTokens(answer("4<|im_end|>"), base).completionTokens)).toEqual([TURN_END, TEXT_END]);
  });

  it("stops at both", () => {
    const engine = { info: { eosTokenIds: [TEXT_END] } } as never;
    expect([...stopTokens(engine, base)].sort()).toEqual([TEXT_END, TURN_END]);
    expect(stopTokens(engine, withConfig({ eos_token: "<|im_end|>", chat_template: CHATML }))).toHaveLength(2);
  });

  it("is told of by the doctor, for tasks with turns alone", () => {
    const task: Task = { ...lettersTask, isTurn: () => true };
    const problems = [lettersTask.trainProblem(0)];
    const [finding] = turnEndFindings(task, problems, base);
    expect(finding).toMatchObject({ severity: "note", id: "turn-end" });
    expect(finding!.measured).toContain('"<|endoftext|>"');
    expect(finding!.measured).toContain('"<|im_end|>"');
    expect(turnEndFindings(lettersTask, problems, base)).toEqual([]);
    expect(turnEndFindings(task, problems, withConfig({ eos_token: "<|im_end|>", chat_template: CHATML }))).toEqual([]);
  });
});

describe("the template's end of a turn", () => {
  it("may be several tokens; there is none where a turn ends with plain text, or the template takes no such conversation", () => {
    const two = withConfig({
      chat_template: CHATML.replace("{{ m.content }}<|im_end|>", "{{ m.content }}!<|im_end|>"),
    });
    expect(two.decode(two.turnEndTokens, { keepSpecial: true })).toBe("!<|im_end|>");
    for (const chat_template of [
      "{% for m in messages %}{{ m.content }}###\n{% endfor %}",
      "{{ raise_exception('no') }}",
    ]) {
      expect(withConfig({ chat_template }).turnEndTokens).toHaveLength(0);
    }
  });

  it("is named in generation_config.json beside the model's own, once", async () => {
    const directory = await mkdtemp(join(tmpdir(), "aha-turn-end-"));
    afterAll(() => rm(directory, { recursive: true }));
    const path = join(directory, "generation_config.json");
    const task: Task = { ...lettersTask, isTurn: () => true };
    for (const [before, after] of [
      [TEXT_END, [TEXT_END, TURN_END]],
      [
        [TEXT_END, TURN_END],
        [TEXT_END, TURN_END],
      ],
      [null, [TEXT_END, TURN_END]],
    ]) {
      await writeFile(path, JSON.stringify({ eos_token_id: before, temperature: 0.6 }));
      await nameTurnEnd(diskFolder(directory), { task, tokenizer: base });
      expect(JSON.parse(await readFile(path, "utf8"))).toEqual({ eos_token_id: after, temperature: 0.6 });
    }
    await writeFile(path, '{"eos_token_id": 0}');
    await nameTurnEnd(diskFolder(directory), { task: lettersTask, tokenizer: base });
    expect(await readFile(path, "utf8")).toBe('{"eos_token_id": 0}');
  });
});

/** Another chat template and another end token: made to the files, so that they are saved as they were used. */

import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { CheckpointError } from "../../src/errors.ts";
import { loadTokenizer } from "../../src/tokenizer/on-disk.ts";
import { readTokenizerFiles, writeTokenizerFiles } from "../../src/tokenizer/tokenizer-files.ts";

const QWEN_LIKE = join(import.meta.dirname, "../golden/tokenizers/qwen-like");
const TEMPLATE = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}";
const MESSAGES = [{ role: "user", content: "hi" }];

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "aha-tokenizer-changes-"));
});
afterAll(() => rm(scratch, { recursive: true }));

describe("a tokenizer with changes", () => {
  it("renders the given template with the given end token, and is saved so", async () => {
    const own = await loadTokenizer(QWEN_LIKE);
    const [other] = ["<|im_end|>", "<|endoftext|>"].filter((text) => own.encode(text)[0] !== own.eosTokenId);
    expect(own.encode(other!)).toHaveLength(1);
    const changed = await loadTokenizer(QWEN_LIKE, { chatTemplate: TEMPLATE, eosToken: other });
    expect(changed.eosTokenId).toBe(own.encode(other!)[0]);
    expect(changed.applyChatTemplate(MESSAGES)).toBe(`[user]hi${other}`);
    const directory = await mkdtemp(join(scratch, "saved-"));
    await changed.save(diskFolder(directory));
    const saved = await loadTokenizer(directory);
    expect([saved.eosTokenId, saved.applyChatTemplate(MESSAGES)]).toEqual([changed.eosTokenId, `[user]hi${other}`]);
    const config = JSON.parse(await readFile(join(directory, "tokenizer_config.json"), "utf8")) as object;
    expect(config).not.toHaveProperty("chat_template");
    expect(config).toHaveProperty("eos_token", other);
  });

  it("has one template where there were several, and the older file of special tokens says the same", async () => {
    const directory = await mkdtemp(join(scratch, "several-"));
    const files = await readTokenizerFiles(diskFolder(QWEN_LIKE));
    await writeTokenizerFiles(diskFolder(directory), {
      ...files,
      "special_tokens_map.json": '{"eos_token": {"content": "x", "lstrip": false}, "pad_token": "y"}',
      "additional_chat_templates/tool_use.jinja": "tools",
    });
    await writeFile(join(directory, "chat_template.json"), '{"chat_template": "old"}');
    const changed = await loadTokenizer(directory, { chatTemplate: TEMPLATE, eosToken: "<|im_end|>" });
    expect(changed.applyChatTemplate(MESSAGES, { tools: [{}] })).toBe("[user]hi<|im_end|>");
    const saved = await mkdtemp(join(scratch, "saved-several-"));
    await changed.save(diskFolder(saved));
    expect(await readdir(saved)).not.toContain("additional_chat_templates");
    expect(await readdir(saved)).not.toContain("chat_template.json");
    const map = JSON.parse(await readFile(join(saved, "special_tokens_map.json"), "utf8")) as object;
    expect(map).toEqual({ eos_token: "<|im_end|>", pad_token: "y" });
  });

  it("that asks for nothing is the checkpoint's, byte for byte", async () => {
    const directory = await mkdtemp(join(scratch, "same-"));
    await (await loadTokenizer(QWEN_LIKE, {})).save(diskFolder(directory));
    for (const name of await readdir(directory)) {
      expect(await readFile(join(directory, name))).toEqual(await readFile(join(QWEN_LIKE, name)));
    }
  });

  it("refuses an end token that the vocabulary has not, and a template that is none", async () => {
    await expect(loadTokenizer(QWEN_LIKE, { eosToken: "<|stop|>" })).rejects.toThrow(CheckpointError);
    await expect(loadTokenizer(QWEN_LIKE, { eosToken: "<|stop|>" })).rejects.toThrow(/eos_token is "<\|stop\|>"/);
    const broken = await loadTokenizer(QWEN_LIKE, { chatTemplate: "{% for %}" });
    expect(() => broken.applyChatTemplate(MESSAGES)).toThrow(/does not parse/);
  });
});

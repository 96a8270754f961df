import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { CheckpointError, ConfigError, DataError } from "../../src/errors.ts";
import { Random } from "../../src/random.ts";
import { buildCharacters, buildCountdownCompact } from "../../src/tokenizer/build.ts";
import { ChatTemplates } from "../../src/tokenizer/chat-template.ts";
import { COUNTDOWN_PHRASES } from "../../src/tokenizer/compact-phrases.ts";
import type { HuggingFaceTokenizer } from "../../src/tokenizer/huggingface.ts";
import { loadTokenizer } from "../../src/tokenizer/on-disk.ts";

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "aha-tokenizer-"));
});
afterAll(() => rm(scratch, { recursive: true }));

describe("countdown-compact", () => {
  const tokenizer = buildCountdownCompact();

  it("has the 121 tokens of the experiment, every integer from 0 to 99 and every phrase one of them", () => {
    expect(tokenizer.vocabSize).toBe(121);
    expect([tokenizer.padTokenId, tokenizer.eosTokenId]).toEqual([0, 1]);
    for (let i = 0; i < 100; i++) expect([...tokenizer.encode(String(i))]).toEqual([3 + i]);
    for (const phrase of COUNTDOWN_PHRASES) expect(tokenizer.encode(phrase)).toHaveLength(1);
  });

  it("gives back every text made of its phrases and integers", () => {
    const random = new Random(1, "texts");
    for (let i = 0; i < 300; i++) {
      const parts = Array.from({ length: 1 + random.integer(30) }, () =>
        random.uniform() < 0.4 ? String(random.integer(100_000)) : random.choice(COUNTDOWN_PHRASES),
      );
      const text = parts.join("");
      expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
    }
  });

  it.each([9, 10, 20, 99, 100, 345, 999, 1000, 1009])(
    "with largest %i, the integers up to it are one token each and no others",
    (largest) => {
      const wider = buildCountdownCompact({ largest });
      expect(wider.vocabSize).toBe(22 + largest);
      for (let i = 0; i <= 1200; i++) {
        const tokens = wider.encode(String(i));
        expect(tokens.length === 1).toBe(i <= largest);
        expect(wider.decode(tokens)).toBe(String(i));
      }
    },
  );

  it("takes the longest integer first: 123 is 12 and 3, 007 is 0, 0 and 7", () => {
    const pieces = (text: string) => [...tokenizer.encode(text)].map((id) => tokenizer.decode([id]));
    expect(pieces("123")).toEqual(["12", "3"]);
    expect(pieces("007")).toEqual(["0", "0", "7"]);
  });

  it("takes extra phrases, longest match first", () => {
    const extended = buildCountdownCompact({ extraPhrases: [" = ", " + ", " yes!"] });
    expect(extended.vocabSize).toBe(124);
    expect([...extended.encode("1 = 2 yes! yes")]).toHaveLength(5);
  });

  it("makes one <unk> of each other character", () => {
    expect([...tokenizer.encode("1é😀x2")]).toEqual([4, 2, 2, 2, 5]);
    expect(tokenizer.tokenSpans("1é😀x2").spans).toEqual([
      [0, 1],
      [1, 2],
      [2, 4],
      [4, 5],
      [5, 6],
    ]);
    expect(tokenizer.decode(tokenizer.encode("1é2"))).toBe("12");
    expect(tokenizer.decode(tokenizer.encode("1é2"), { keepSpecial: true })).toBe("1<unk>2");
  });

  it("refuses phrases that could never be matched and sizes without the digits", () => {
    for (const phrase of ["", "1 apple", "+", "say <eos>"]) {
      expect(() => buildCountdownCompact({ extraPhrases: [phrase] }), phrase).toThrow(ConfigError);
    }
    for (const largest of [8, -1, 99.5, 1e6, Number.NaN]) {
      expect(() => buildCountdownCompact({ largest }), String(largest)).toThrow(ConfigError);
    }
  });
});

describe("HuggingFaceTokenizer", () => {
  const characters = buildCharacters();
  const load = async (files: Record<string, string>): Promise<HuggingFaceTokenizer> => {
    const directory = await mkdtemp(join(scratch, "files-"));
    for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text);
    return loadTokenizer(directory);
  };
  const saved = async (): Promise<Record<string, string>> => {
    const directory = await mkdtemp(join(scratch, "saved-"));
    await characters.save(diskFolder(directory));
    const names = await readdir(directory);
    return Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await readFile(join(directory, name), "utf8")] as const)),
    );
  };

  it("saves what it loaded, byte for byte, and leaves nothing else behind", async () => {
    const files = { ...(await saved()), "special_tokens_map.json": '{ "eos_token":   "<|im_end|>" }' };
    const out = join(scratch, "again");
    await mkdir(out);
    await (await load(files)).save(diskFolder(out));
    expect((await readdir(out)).sort()).toEqual(Object.keys(files).sort());
    for (const [name, text] of Object.entries(files)) expect(await readFile(join(out, name), "utf8")).toBe(text);
  });

  it("decodes nothing to nothing, and ids beyond the vocabulary to nothing", () => {
    expect(characters.decode([])).toBe("");
    expect(characters.decode([5_000, -1])).toBe("");
    expect(characters.decode([68, 5_000, 69])).toBe("ab");
    expect(characters.decode(Int32Array.of(2))).toBe("");
  });

  it("does not tidy spaces before punctuation", () => {
    expect(characters.decode(characters.encode("Isn 't it , so ?"))).toBe("Isn 't it , so ?");
  });

  it("reads special tokens given as objects, and from special_tokens_map.json", async () => {
    const files = await saved();
    const asObject = { eos_token: { content: "<|im_end|>", lstrip: false }, pad_token: null };
    const one = await load({ ...files, "tokenizer_config.json": JSON.stringify(asObject) });
    expect([one.eosTokenId, one.padTokenId]).toEqual([2, null]);
    const two = await load({
      ...files,
      "tokenizer_config.json": "{}",
      "special_tokens_map.json": '{"eos_token": "<|im_end|>", "pad_token": {"content": "<|endoftext|>"}}',
    });
    expect([two.eosTokenId, two.padTokenId]).toEqual([2, 0]);
  });

  it("takes the chat template from its file first, then the config, by name where there are several", async () => {
    const { "chat_template.jinja": own, ...files } = await saved();
    const several = [
      { name: "tool_use", template: "tools" },
      { name: "default", template: "by name" },
    ];
    const config = (chat_template: unknown) => ({
      ...files,
      "tokenizer_config.json": JSON.stringify({ chat_template }),
    });
    const chat = [{ role: "user", content: "" }];
    const render = async (files: Record<string, string>, options = {}) =>
      (await load(files)).applyChatTemplate(chat, options);
    expect(await render(config("in config"))).toBe("in config");
    expect(await render(config(several))).toBe("by name");
    expect(await render({ ...config("in config"), "chat_template.jinja": own! })).toMatch(/^<\|im_start\|>user/);
    expect(await render({ ...config(null), "chat_template.json": '{"chat_template": "older"}' })).toBe("older");
    expect(await render({ ...config("newer"), "chat_template.json": '{"chat_template": "older"}' })).toBe("newer");
    expect(() => buildCountdownCompact().applyChatTemplate(chat)).toThrow(/no chat template/);
  });

  it("takes the template for tools where there are tools, and one by its name", async () => {
    const named = [
      { name: "default", template: "plain" },
      { name: "tool_use", template: "tools: {{ tools | length }}" },
      { name: "rag", template: "documents: {{ documents | length }}" },
    ];
    const { "chat_template.jinja": _, ...files } = await saved();
    const tokenizer = await load({ ...files, "tokenizer_config.json": JSON.stringify({ chat_template: named }) });
    const render = (options = {}) => tokenizer.applyChatTemplate([{ role: "user", content: "" }], options);
    expect(render()).toBe("plain");
    expect(render({ tools: [{}, {}] })).toBe("tools: 2");
    expect(render({ tools: [{}], template: "default" })).toBe("plain");
    expect(render({ template: "rag", documents: [{}] })).toBe("documents: 1");
    expect(() => render({ template: "rog" })).toThrow(/no chat template "rog".*Did you mean "rag"/);
  });

  it("reads and saves further templates in files of their own", async () => {
    const directory = await mkdtemp(join(scratch, "templates-"));
    for (const [name, text] of Object.entries(await saved())) await writeFile(join(directory, name), text);
    await mkdir(join(directory, "additional_chat_templates"));
    await writeFile(join(directory, "additional_chat_templates", "tool_use.jinja"), "with tools");
    await writeFile(join(directory, "additional_chat_templates", "notes.txt"), "not a template");
    const out = await mkdtemp(join(scratch, "templates-out-"));
    await (await loadTokenizer(directory)).save(diskFolder(out));
    expect(await readdir(join(out, "additional_chat_templates"))).toEqual(["tool_use.jinja"]);
    const render = async (path: string, options = {}) =>
      (await loadTokenizer(path)).applyChatTemplate([{ role: "user", content: "x" }], options);
    expect(await render(out, { tools: [] })).toBe("with tools");
    expect(await render(out)).toBe(await render(directory));
  });

  it("says what is wrong with files that are no tokenizer", async () => {
    const files = await saved();
    const json = JSON.parse(files["tokenizer.json"]!) as Record<string, unknown>;
    const broken: [Record<string, string>, RegExp][] = [
      [{}, /no tokenizer\.json/],
      [{ ...files, "tokenizer.json": "{" }, /tokenizer\.json is not JSON/],
      [{ ...files, "tokenizer.json": "[]" }, /not a tokenizer's/],
      [{ ...files, "tokenizer.json": '{"model": {"type": "BPE"}}' }, /model\.vocab/],
      [{ ...files, "tokenizer.json": JSON.stringify({ ...json, decoder: { type: "Magic" } }) }, /not supported/],
      [{ ...files, "tokenizer_config.json": '{"eos_token": 5}' }, /eos_token/],
      [{ ...files, "tokenizer_config.json": '{"eos_token": "</s>"}' }, /"<\/s>", which is not in tokenizer\.json/],
    ];
    for (const [content, message] of broken) {
      await expect(load(content)).rejects.toThrow(CheckpointError);
      await expect(load(content)).rejects.toThrow(message);
    }
    await expect(loadTokenizer(join(scratch, "absent"))).rejects.toThrow(CheckpointError);
  });

  it("names a Git LFS pointer as such", async () => {
    const directory = await mkdtemp(join(scratch, "pointer-"));
    await buildCharacters().save(diskFolder(directory));
    for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
      const text = await readFile(join(directory, name));
      await writeFile(join(directory, name), "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
      await expect(loadTokenizer(directory)).rejects.toThrow(CheckpointError);
      await expect(loadTokenizer(directory)).rejects.toThrow(`Run "git lfs pull" in ${directory}`);
      await writeFile(join(directory, name), text);
    }
  });

  it("refuses an endless file", async () => {
    const directory = await mkdtemp(join(scratch, "endless-"));
    await symlink("/dev/zero", join(directory, "tokenizer.json"));
    await expect(loadTokenizer(directory)).rejects.toThrow(CheckpointError);
  });

  it("gives tokens of composed characters the characters that they came from", async () => {
    const byteLevel = await loadTokenizer(fileURLToPath(new URL("../golden/tokenizers/byte-level", import.meta.url)));
    const decomposed = "cafe\u0301 au lait";
    const { tokens, spans } = byteLevel.tokenSpans(decomposed);
    expect([...tokens]).toEqual([...byteLevel.encode("caf\u00e9 au lait")]);
    expect(spans.at(-1)![1]).toBe(decomposed.length);
    expect(spans.some(([start, end]) => decomposed.slice(start, end).includes("e\u0301"))).toBe(true);
    expect(byteLevel.tokenSpans("caf\u00e9 au lait").spans.at(-1)![1]).toBe(12);
    for (const text of ["\u1112\u1161\u11ab글", "x\u0327\u0301y", "\u212b\u0301 1", "\u0301a", "a\u0301"]) {
      expect(byteLevel.tokenSpans(text).spans.at(-1)![1], text).toBe(text.length);
    }
  });

  it("has no spans for a text that its normalizer changes otherwise", async () => {
    const files = await saved();
    const json = JSON.parse(files["tokenizer.json"]!) as Record<string, unknown>;
    const lower = await load({
      ...files,
      "tokenizer.json": JSON.stringify({ ...json, normalizer: { type: "Lowercase" } }),
    });
    expect(() => lower.tokenSpans("Ab")).toThrow(DataError);
  });
});

describe("ChatTemplates", () => {
  const messages = [{ role: "user", content: "hi" }];
  const single = (source: string) => new ChatTemplates(new Map([["default", source]]), {});

  it("refuses what transformers refuses: both options, no message to continue, a message that is dropped", () => {
    const template = single("{% for m in messages %}{{ m.role }}{% endfor %}");
    const both = { addGenerationPrompt: true, continueFinalMessage: true };
    expect(() => template.render(messages, both)).toThrow(/choose one/);
    expect(() => template.render([], { continueFinalMessage: true })).toThrow(/at least one message/);
    expect(() => template.render(messages, { continueFinalMessage: true })).toThrow(/cannot be continued/);
  });

  it("reports a template that does not parse, and one that raises, as different errors", () => {
    expect(() => single("{% for %}").render(messages)).toThrow(CheckpointError);
    expect(() => single("{{ raise_exception('no system role') }}").render(messages)).toThrow(
      /refuses this conversation: .*no system role/,
    );
  });

  it("gives templates what transformers gives them: none for what is absent, variables, thinking, no empty fields", () => {
    const shown = single(
      "{{ tools is none }} {{ documents is none }} {{ enable_thinking is defined }} {{ messages[0].thinking }} " +
        "{{ 'name' in messages[0] }} {{ eos_token }}",
    );
    const message = { role: "assistant", content: "", reasoning_content: "hm", name: undefined as unknown as string };
    expect(shown.render([message])).toBe("True True False hm False ");
    const variables = { enable_thinking: false, eos_token: "<end>" };
    expect(shown.render([message], { variables })).toMatch(/True hm False <end>$/);
  });

  it("writes the date in English, of the moment that it is given", () => {
    const template = single("{{ strftime_now('%d %b %Y') }}");
    expect(template.render(messages, { now: new Date(2024, 6, 26) })).toBe("26 Jul 2024");
    expect(template.render(messages)).toMatch(/^\d\d [A-Z][a-z][a-z] \d{4}$/);
  });

  it("shows the template nothing of this program", () => {
    const probes = [
      "process",
      "globalThis",
      "require",
      "messages.constructor",
      "messages[0].constructor",
      "messages[0].__proto__",
    ];
    for (const probe of probes) {
      const rendered = single(`{{ ${probe} is defined and ${probe} is not none }}`);
      expect(rendered.render(messages), probe).toMatch(/^(false|)$/i);
    }
  });
});

import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { CheckpointError, ConfigError, DataError } from "../../src/errors.ts";
import { Random } from "../../src/random.ts";
import { buildCharacters, buildCountdownCompact, COUNTDOWN_PHRASES } from "../../src/tokenizer/build.ts";
import { ChatTemplate } from "../../src/tokenizer/chat-template.ts";
import { type HuggingFaceTokenizer, loadTokenizer } from "../../src/tokenizer/huggingface.ts";

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
    await characters.save(directory);
    const names = await readdir(directory);
    return Object.fromEntries(
      await Promise.all(names.map(async (name) => [name, await readFile(join(directory, name), "utf8")] as const)),
    );
  };

  it("saves what it loaded, byte for byte, and leaves nothing else behind", async () => {
    const files = { ...(await saved()), "special_tokens_map.json": '{ "eos_token":   "<|im_end|>" }' };
    const out = join(scratch, "again");
    await mkdir(out);
    await (await load(files)).save(out);
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
    expect((await load(config("in config"))).applyChatTemplate([])).toBe("in config");
    expect((await load(config(several))).applyChatTemplate([])).toBe("by name");
    expect((await load({ ...config("in config"), "chat_template.jinja": own! })).applyChatTemplate([])).toBe("");
    expect(() => buildCountdownCompact().applyChatTemplate([])).toThrow(/no chat template/);
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

  it("refuses an endless file", async () => {
    const directory = await mkdtemp(join(scratch, "endless-"));
    await symlink("/dev/zero", join(directory, "tokenizer.json"));
    await expect(loadTokenizer(directory)).rejects.toThrow(CheckpointError);
  });

  it("has no spans for a text that its normalizer changes", async () => {
    const byteLevel = await loadTokenizer(fileURLToPath(new URL("../golden/tokenizers/byte-level", import.meta.url)));
    expect(() => byteLevel.tokenSpans("cafe\u0301 au lait")).toThrow(DataError);
    expect(byteLevel.tokenSpans("caf\u00e9 au lait").spans.at(-1)![1]).toBe(12);
  });
});

describe("ChatTemplate", () => {
  const messages = [{ role: "user", content: "hi" }];

  it("refuses what transformers refuses: both options, no message to continue, a message that is dropped", () => {
    const template = new ChatTemplate("{% for m in messages %}{{ m.role }}{% endfor %}", {});
    const both = { addGenerationPrompt: true, continueFinalMessage: true };
    expect(() => template.render(messages, both)).toThrow(/choose one/);
    expect(() => template.render([], { continueFinalMessage: true })).toThrow(/at least one message/);
    expect(() => template.render(messages, { continueFinalMessage: true })).toThrow(/cannot be continued/);
  });

  it("reports a template that does not parse, and one that raises, as different errors", () => {
    expect(() => new ChatTemplate("{% for %}", {}).render(messages)).toThrow(CheckpointError);
    expect(() => new ChatTemplate("{{ raise_exception('no system role') }}", {}).render(messages)).toThrow(
      /refuses this conversation: .*no system role/,
    );
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
      const rendered = new ChatTemplate(`{{ ${probe} is defined and ${probe} is not none }}`, {});
      expect(rendered.render(messages), probe).toMatch(/^(false|)$/i);
    }
  });
});

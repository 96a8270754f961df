/** /tokenize, /detokenize and /tokenizer_info, in vLLM's shapes. */

import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { loadTokenizer } from "../../src/tokenizer/on-disk.ts";
import { startServer } from "./running-server.ts";
import { chat, newSession, serve } from "./scripted-server.ts";
import { characters, scriptedModel } from "./scripted-session.ts";

async function served(name: string) {
  const tokenizer = await loadTokenizer(join(import.meta.dirname, "../golden/tokenizers", name));
  const model = { tokenizer, tokenizerFiles: tokenizer.files, vocabSize: tokenizer.vocabSize };
  return { tokenizer, ...(await startServer(scriptedModel(newSession(), model))) };
}

describe("/tokenize", () => {
  it("gives the tokens of a text, with those that the tokenizer puts around it unless it is told not to", async () => {
    const { post, tokenizer } = await served("llama-like");
    const { status, json } = await post("/tokenize", { prompt: "Hello world" });
    const tokens = [...tokenizer.encode("Hello world", { addSpecial: true })];
    expect(status).toBe(200);
    expect(json).toEqual({ count: tokens.length, max_model_len: 400, tokens, token_strs: null });
    const plain = await post("/tokenize", { prompt: "Hello world", add_special_tokens: false, model: "scripted" });
    expect(plain.json.tokens).toEqual([...tokenizer.encode("Hello world")]);
    const spelled = await post("/tokenize", { prompt: "a b", add_special_tokens: false, return_token_strs: true });
    expect(spelled.json.token_strs.join("")).toBe("aĠb");
  });

  it("gives those of a conversation, and of what does not fit into the context", async () => {
    const { post } = await serve();
    const { json } = await post("/tokenize", { messages: chat.messages });
    expect(characters.decode(json.tokens, { keepSpecial: true })).toMatch(/^<\|im_start\|>user\nHi.*assistant\n$/s);
    const closed = await post("/tokenize", { messages: chat.messages, add_generation_prompt: false });
    expect(characters.decode(closed.json.tokens, { keepSpecial: true })).toMatch(/<\|im_end\|>\n$/);
    expect((await post("/tokenize", { prompt: "x".repeat(3000) })).json).toMatchObject({ count: 3000 });
  });

  it("refuses what it cannot read", async () => {
    const { post, get } = await serve();
    for (const [body, param] of [
      [{ prompt: 5 }, "prompt"],
      [{ messages: [] }, "messages"],
      [{ prompt: "x", model: "other" }, "model"],
      [{ prompt: "x", promt: "y" }, "promt"],
    ] as const) {
      const { status, json } = await post("/tokenize", body);
      expect([status, json.error.param]).toEqual([param === "model" ? 404 : 400, param]);
    }
    expect((await get("/tokenize")).status).toBe(405);
  });
});

describe("/detokenize", () => {
  it("gives the text of tokens", async () => {
    const { post, tokenizer } = await served("byte-level");
    const text = "naïve 🦜 <|im_end|>";
    const { json } = await post("/detokenize", { tokens: [...tokenizer.encode(text)] });
    expect(json).toEqual({ prompt: text });
    for (const tokens of [[999_999], [-1], ["x"], "x"]) {
      const refused = await post("/detokenize", { tokens });
      expect([refused.status, refused.json.error.param]).toEqual([400, "tokens"]);
    }
  });
});

describe("/tokenizer_info", () => {
  it("has the special tokens as texts, and the chat template", async () => {
    const { get, tokenizer } = await served("byte-level");
    const { json } = await get("/tokenizer_info");
    expect(json.eos_token).toBe(tokenizer.decode([tokenizer.eosTokenId!], { keepSpecial: true }));
    expect(json.chat_template).toContain("message");
    expect((await (await serve()).get("/tokenizer_info")).status).toBe(404);
  });
});

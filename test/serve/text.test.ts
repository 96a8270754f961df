import { describe, expect, it } from "vitest";
import { Random } from "../../src/random.ts";
import { ChoiceText } from "../../src/serve/choice-text.ts";
import { endsInsideReasoning, ReasoningSplitter } from "../../src/serve/reasoning.ts";
import { StopStrings } from "../../src/serve/stop-strings.ts";
import { StreamingDecoder } from "../../src/tokenizer/streaming-decoder.ts";
import { characters } from "./scripted-session.ts";

/** The text in pieces of 0 … `longest` characters. */
function pieces(text: string, longest: number, random: Random): string[] {
  const cut: string[] = [];
  for (let at = 0; at < text.length; ) {
    const length = random.integer(longest + 1);
    cut.push(text.slice(at, at + length));
    at += length;
  }
  return cut;
}

/** What stop strings leave of a text that comes in these pieces, and whether one was found. */
function cutAt(stops: readonly string[], texts: readonly string[]): [string, boolean] {
  const scanner = new StopStrings(stops);
  const shown = texts.map((text) => scanner.push(text)).join("");
  return [shown + scanner.end(), scanner.stopped];
}

describe("stop strings", () => {
  it("cut the text before the one that is complete first, the longest of those", () => {
    expect(cutAt(["abc", "b"], ["xabc"])).toEqual(["xa", true]);
    expect(cutAt(["c", "bc"], ["xabc"])).toEqual(["xa", true]);
    expect(cutAt(["\n\n"], ["one\ntwo\n\nthree"])).toEqual(["one\ntwo", true]);
    expect(cutAt([], ["one\ntwo"])).toEqual(["one\ntwo", false]);
  });

  it("hold back what may be the beginning of one, and nothing else", () => {
    const scanner = new StopStrings(["Observation:"]);
    expect(scanner.push("I see. Ob")).toBe("I see. ");
    expect(scanner.push("serv")).toBe("");
    expect(scanner.push("ed O")).toBe("Observed ");
    expect(scanner.push("bservation: 3")).toBe("");
    expect([scanner.stopped, scanner.push("more"), scanner.end()]).toEqual([true, "", ""]);
  });

  it("give out at the end what began no stop string after all", () => {
    expect(cutAt(["###"], ["a ##"])).toEqual(["a ##", false]);
  });

  it("cut the same however the text is cut into pieces", () => {
    const random = new Random(5, "stop strings");
    for (let round = 0; round < 400; round++) {
      const letters = (length: number) => Array.from({ length }, () => "abc"[random.integer(3)]!).join("");
      const text = letters(1 + random.integer(40));
      const stops = Array.from({ length: 1 + random.integer(3) }, () => letters(2 + random.integer(4)));
      expect(cutAt(stops, pieces(text, 6, random)), `${text} at ${stops}`).toEqual(cutAt(stops, [...text]));
    }
  });
});

/** The channels of a text that comes in these pieces. */
function split(texts: readonly string[], inside = false) {
  const splitter = new ReasoningSplitter(inside);
  const found = { reasoning: "", content: "" };
  for (const { channel, text } of [...texts.flatMap((text) => splitter.push(text)), ...splitter.end()]) {
    found[channel] += text;
  }
  return found;
}

describe("reasoning", () => {
  it("is what stands between the tags, without the whitespace around it", () => {
    expect(split(["<think>\nhm, 2 \n</think>\n\n 4\n"])).toEqual({ reasoning: "hm, 2", content: "4\n" });
    expect(split(["Sure. <think>a</think> b <think>c</think>d"])).toEqual({ reasoning: "ac", content: "Sure. b d" });
  });

  it("begins with the completion where the prompt ended inside, and lasts until it is closed", () => {
    expect(split(["a b</think>c"], true)).toEqual({ reasoning: "a b", content: "c" });
    expect(split(["  a b  "], true)).toEqual({ reasoning: "a b", content: "" });
  });

  it("is nowhere in a text without tags, which stays as it is", () => {
    expect(split(["  a < b </think> <thin"])).toEqual({ reasoning: "", content: "  a < b </think> <thin" });
  });

  it("is the same however the text is cut into pieces", () => {
    const random = new Random(6, "reasoning");
    const parts = ["<think>", "</think>", "<", " ", "\n", "think>", "a", "/"];
    for (let round = 0; round < 400; round++) {
      const text = Array.from({ length: random.integer(14) }, () => random.choice(parts)).join("");
      const inside = random.integer(2) === 1;
      expect(split(pieces(text, 5, random), inside), JSON.stringify(text)).toEqual(split([text], inside));
    }
  });

  it("is open after a text whose last tag was not closed", () => {
    expect(["", "<think>", "<think>a</think>", "</think><think>\n"].map(endsInsideReasoning)).toEqual([
      false,
      true,
      false,
      true,
    ]);
  });
});

/** A choice that is told the characters of a text, and what came out of it, token by token. */
function choiceOf(text: string, stop: readonly string[], { eos = true } = {}) {
  const decoder = new StreamingDecoder(characters);
  const stopTokenIds = [characters.eosTokenId!];
  const choice = new ChoiceText({ decoder, stopTokenIds, stop, reasoning: "content" });
  const tokens = [...characters.encode(text), ...(eos ? stopTokenIds : [])];
  const deltas = [];
  for (const token of tokens) {
    if (choice.stopped) break;
    deltas.push(choice.push({ token, logprob: -1, top: [] }));
  }
  deltas.push(choice.end());
  return {
    choice,
    deltas,
    text: deltas.flatMap(({ pieces }) => pieces.map((piece) => piece.text)).join(""),
    tokens: deltas.flatMap((delta) => delta.tokens),
  };
}

describe("a choice", () => {
  it("has the tokens of its text, each with its place, and not the stop token", () => {
    const { text, tokens } = choiceOf("abc", []);
    expect(text).toBe("abc");
    expect(tokens.map(({ token, offset }) => [characters.decode([token]), offset])).toEqual([
      ["a", 0],
      ["b", 1],
      ["c", 2],
    ]);
  });

  it("gives tokens out together with the text that they begin in, none for what is cut off", () => {
    const { deltas, text, tokens, choice } = choiceOf("ab##c##", ["##c"]);
    expect([text, choice.stopped]).toEqual(["ab", true]);
    expect(tokens.map(({ offset }) => offset)).toEqual([0, 1]);
    expect(deltas.map((delta) => delta.tokens.length)).toEqual([1, 1, 0, 0, 0, 0]);
    expect(choiceOf("ab##", ["##c"], { eos: false }).tokens).toHaveLength(4);
  });

  it("counts the tokens of its reasoning", () => {
    expect(choiceOf("<think>ab</think>c", []).choice.reasoningTokens).toBe("ab</think>".length);
  });
});

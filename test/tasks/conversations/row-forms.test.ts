import { describe, expect, test } from "vitest";
import { DataError } from "../../../src/errors.ts";
import { conversationsOptionsSchema } from "../../../src/tasks/conversations/options.ts";
import { readConversationRow } from "../../../src/tasks/conversations/row-forms.ts";

const options = (further: object = {}) => conversationsOptionsSchema.parse({ data: { path: "x" }, ...further });
const read = (fields: Record<string, unknown>, further: object = {}) =>
  readConversationRow({ fields, file: "f.parquet", line: 4, unit: "row" }, options(further));

const user = { role: "user", content: "2+2?" };
const assistant = { role: "assistant", content: "4" };

describe("readConversation", () => {
  test("messages: the assistant's last is the reference, what is before it the prompt", () => {
    expect(read({ messages: [user, assistant], problem: "2+2?" })).toEqual({ prompt: [user], reference: "4" });
    const turns = [user, assistant, { role: "user", content: "sure?" }, { role: "assistant", content: "yes" }];
    expect(read({ messages: turns })).toEqual({ prompt: turns.slice(0, 3), reference: "yes" });
  });

  test("messages that end with the user are a prompt without a reference", () => {
    expect(read({ messages: [user] })).toEqual({ prompt: [user], reference: undefined });
  });

  test("conversations: ShareGPT's and Bespoke's names of speakers, with the column system", () => {
    for (const [human, model] of [
      ["human", "gpt"],
      ["user", "assistant"],
    ]) {
      const conversations = [
        { from: human, value: "2+2?" },
        { from: model, value: "4" },
      ];
      expect(read({ system: "Think.", conversations })).toEqual({
        prompt: [{ role: "system", content: "Think." }, user],
        reference: "4",
      });
    }
  });

  test("a system message of the row stands before the column's, that before the option's", () => {
    const own = { role: "system", content: "own" };
    expect(read({ messages: [own, user], system: "column" }, { system: "option" }).prompt).toEqual([own, user]);
    expect(read({ messages: [user], system: "column" }, { system: "option" }).prompt[0]).toEqual({
      ...own,
      content: "column",
    });
    expect(read({ messages: [user] }, { system: "option" }).prompt[0]).toEqual({ ...own, content: "option" });
  });

  test("prompt and completion: texts or lists of messages", () => {
    expect(read({ prompt: "2+2?", completion: "4" })).toEqual({ prompt: [user], reference: "4" });
    expect(read({ prompt: [user], completion: [assistant] })).toEqual({ prompt: [user], reference: "4" });
    expect(read({ prompt: "2+2?", answer: 4 })).toEqual({ prompt: [user], reference: undefined });
  });

  test("chat: false leaves the prompt as the text that it is", () => {
    expect(read({ prompt: "2+2=", completion: "4", messages: [user] }, { chat: false })).toEqual({
      prompt: "2+2=",
      reference: "4",
    });
  });

  test("lists in JSON, as CSV has them, are read", () => {
    expect(read({ messages: JSON.stringify([user, assistant]) })).toEqual({ prompt: [user], reference: "4" });
    expect(read({ prompt: JSON.stringify([user]), completion: "[1]" })).toEqual({ prompt: [user], reference: "[1]" });
  });

  test("a mapped column decides where a row has several forms", () => {
    const row = { messages: [user, assistant], prompt: "3+3?", problem: "3+3?" };
    expect(read(row).reference).toBe("4");
    const mapped = read(row, { data: { path: "x", columns: { prompt: "problem" } } });
    expect(mapped).toEqual({ prompt: [{ role: "user", content: "3+3?" }], reference: undefined });
    expect(read(row, { form: "prompt" }).reference).toBeUndefined();
  });

  test.each([
    [
      { text: "x", id: 1 },
      {},
      "f.parquet, row 4: expected a conversation in one of the columns messages, conversations, prompt; the columns of this row are: text, id.",
    ],
    [{ messages: "hello" }, {}, 'expected a list of messages in the column messages, which is "hello"'],
    [{ messages: [] }, {}, "expected a list of messages in the column messages, which is []"],
    [{ messages: [user, { role: "assistant" }] }, {}, "message 2 of the column messages has no text under content"],
    [{ messages: [{ content: "x" }] }, {}, "message 1 of the column messages has no text under role"],
    [{ messages: [null] }, {}, "message 1 of the column messages is not a mapping"],
    [
      { conversations: [{ from: "robot", value: "x" }] },
      {},
      'message 1 of the column conversations is from "robot", not from human, user, gpt',
    ],
    [{ conversations: [{ from: "human", text: "x" }] }, {}, "has no text under value"],
    [{ messages: [assistant] }, {}, "the conversation in the column messages asks nothing"],
    [{ messages: [{ role: "system", content: "x" }, assistant] }, {}, "asks nothing"],
    [{ prompt: "", completion: "4" }, {}, "expected a text that is not empty in the column prompt"],
    [{ prompt: "2", completion: 4 }, {}, "in the column completion, which is 4"],
    [{ prompt: "2", completion: [user] }, {}, "expected one message of the assistant in the column completion"],
    [
      { problem: "2" },
      { chat: false },
      "expected a text that is not empty in the column prompt, which is not there; the columns of this row are: problem.",
    ],
  ])("%j %j is refused with place and columns", (fields, further, message) => {
    expect(() => read(fields, further)).toThrow(DataError);
    expect(() => read(fields, further)).toThrow(message);
  });
});

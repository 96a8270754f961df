/** Conversations of every shape, with what a rendering of them is asked for; plain JSON, so that Python reads the same. */

export interface RenderingCase {
  readonly messages: readonly Readonly<Record<string, unknown>>[];
  readonly tools?: readonly unknown[];
  readonly documents?: readonly unknown[];
  /** Further variables of the template. */
  readonly variables?: Readonly<Record<string, unknown>>;
  readonly addGenerationPrompt?: boolean;
  readonly continueFinalMessage?: boolean;
}

const user = (content: unknown) => ({ role: "user", content });
const assistant = (content: unknown, more = {}) => ({ role: "assistant", content, ...more });
const system = { role: "system", content: "You are terse.\n" };
const call = (name: string, args: unknown, id = "call_00001") => ({
  id,
  type: "function",
  function: { name, arguments: args },
});
const weather = {
  city: "Zürich",
  days: 3,
  mild: true,
  scale: null,
  limits: [1.5, -0.25, 1e-7, 1e21],
  "a key": { b: [] },
};
const toolAnswer = (content: unknown, id = "call_00001") => ({
  role: "tool",
  name: "weather",
  tool_call_id: id,
  content,
});

const CONVERSATIONS: readonly (readonly Readonly<Record<string, unknown>>[])[] = [
  [user("What is 2 + 2?")],
  [system, user("  spaces before and after  ")],
  [user("Hi"), assistant("Hello.\n\n"), user("  And\nnow?\n")],
  [system, user("1"), assistant("one"), user("2"), assistant("two"), user("3")],
  [user("Go."), assistant("Done.")],
  [user("Go."), assistant("<think>\nfirst\n  indented\n</think>\n\nDone."), user("Again."), assistant("Ok")],
  [user("Go."), assistant("<think>\nhm\n</think>\n\nDone."), user("Again.")],
  [user("Go."), assistant("Done.", { reasoning_content: "\nLet me see.\n" })],
  [
    user("Go."),
    assistant("Done.", { reasoning: "by another name" }),
    user("More"),
    assistant("x", { thinking: "third" }),
  ],
  [user("Weather?"), assistant(null, { tool_calls: [call("weather", weather)] }), toolAnswer("sunny")],
  [
    user("Weather?"),
    assistant("", { tool_calls: [call("weather", JSON.stringify(weather))] }),
    toolAnswer('{"t": 20}'),
    assistant("20 °C."),
  ],
  [
    system,
    user("Both?"),
    assistant("I look.", {
      reasoning_content: "two calls",
      tool_calls: [call("weather", weather), call("time", {}, "call_00002")],
    }),
    toolAnswer("sunny"),
    toolAnswer("noon", "call_00002"),
    assistant("Sunny noon."),
    user("Thanks"),
  ],
  [user("Call it."), assistant(undefined, { tool_calls: [call("noop", {})] })],
  [
    user([
      { type: "text", text: "part one" },
      { type: "text", text: " part two" },
    ]),
  ],
  [
    system,
    user([{ type: "image" }, { type: "text", text: "What is this?" }]),
    assistant([{ type: "text", text: "A cat." }]),
  ],
  [user("Unicode: é 😀 数字 \u00a0\u2028 <|im_end|> </s> {{ x }} {% y %} \\n \"quoted\" 'single' & <b>")],
  [user("")],
  [user("a"), user("b")],
  [assistant("I begin."), user("Ok")],
  [system, system, user("twice")],
  [{ role: "developer", content: "Be nice." }, user("Hi")],
  [user("x"), { role: "weird", content: "?" }],
  [user("\r\ncarriage\r\nreturns\t\ttabs\u000b")],
  [system],
  [user("Hi"), assistant("")],
  [user("name?"), assistant("yes", { name: "bot", id: 7, prefix: true })],
  [user("multi\nline"), assistant("A"), user("B"), assistant("C"), user("D"), assistant("E"), user("F")],
  [user("/no_think quick"), assistant("<think>\n\n</think>\n\nquick"), user("/think slow")],
];

const TOOLS = [
  {
    type: "function",
    function: {
      name: "weather",
      description: "The weather of a city.\nIn words.",
      parameters: {
        type: "object",
        properties: {
          city: { type: "string", description: "Which city" },
          days: { type: "integer", description: "How many days", default: 1, minimum: 0.5 },
          scale: { type: ["string", "null"], enum: ["C", "F"] },
          tags: { type: "array", items: { type: "string" } },
        },
        required: ["city"],
      },
    },
  },
  {
    type: "function",
    function: {
      name: "time",
      description: 'Says "now" <here> & there',
      parameters: { type: "object", properties: {} },
    },
  },
];

/** Every conversation with and without tools and thinking; for each collection of templates the same ones. */
export function renderingCases(): RenderingCase[] {
  const cases: RenderingCase[] = [];
  for (const messages of CONVERSATIONS) {
    cases.push({ messages });
    cases.push({ messages, addGenerationPrompt: true });
    cases.push({ messages, addGenerationPrompt: true, variables: { enable_thinking: false, thinking: false } });
    cases.push({ messages, addGenerationPrompt: true, variables: { enable_thinking: true, thinking: true } });
    cases.push({ messages, addGenerationPrompt: true, tools: TOOLS });
    cases.push({ messages, tools: TOOLS, variables: { enable_thinking: false, date_string: "1 Jan 2025" } });
    const content = messages.at(-1)?.content;
    if (typeof content === "string" || Array.isArray(content)) cases.push({ messages, continueFinalMessage: true });
  }
  const documents = [
    { title: "A", text: "first" },
    { title: "B", text: "second" },
  ];
  cases.push({ messages: CONVERSATIONS[1]!, documents, addGenerationPrompt: true });
  cases.push({ messages: CONVERSATIONS[3]!, tools: [], addGenerationPrompt: true });
  return cases;
}

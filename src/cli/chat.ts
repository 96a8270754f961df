/**
 * `aha chat`: talk to a model. With a chat template it is a conversation; without one the model continues the text that
 * it is given, which is what a base model does. Answers appear while they are made: on a terminal with colours thinking is
 * dimmed and the answer plain, anywhere else the text is as the model wrote it, tags included.
 */

import { createInterface } from "node:readline";
import { openSampler } from "../engine/open.ts";
import { ConfigError, DataError } from "../errors.ts";
import type { Channel } from "../serve/reasoning.ts";
import type { GenerationDefaults } from "../serve/sampling-defaults.ts";
import { loadTokenizer } from "../tokenizer/on-disk.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import {
  type AnswerPart,
  type ChatReply,
  type ChatSampling,
  ChatSession,
  type ChatSessionOptions,
  FORGET,
} from "./chat-session.ts";
import type { Command, CommandContext } from "./command.ts";
import { computeOfEngine, ENGINE_HELP, ENGINE_OPTION } from "./engine-option.ts";
import { GENERATION_CONFIG_HELP, GENERATION_CONFIG_OPTION, generationDefaults } from "./generation-config.ts";
import { modelToRead } from "./model-to-read.ts";
import { ADAPTER_HELP, ADAPTER_OPTION } from "./model-with-adapter.ts";
import {
  COMPUTE_HELP,
  COMPUTE_OPTIONS,
  numberOption,
  parseOptions,
  seedOption,
  wholeNumberOption,
} from "./parse-options.ts";
import { printable, type Style, styleFor } from "./terminal-style.ts";

const HELP = `Usage: aha chat DIR [--prompt TEXT] [options]

Talks to the model in DIR (a model directory, the directory of a run, or ORG/NAME[@REVISION] on the Hub). Where the
checkpoint has a chat template this is a conversation; where it has none the model continues your text, in which \\n
stands for a line break. Without --prompt it reads from the keyboard, until Ctrl-D (/new forgets what was said, Ctrl-C
stops an answer); piped in, every line is a prompt of its own and gets one answer. Answers appear as they are written,
what the model thinks (<think> … </think>) dimmed.

Options
  --prompt TEXT          answer this and end
  --system TEXT          a system message (with a chat template)
  --raw                  continue plain text although there is a chat template
  --temperature T        softmax temperature; 0 is greedy
  --top-p P, --top-k K, --min-p M   restrict sampling
  --repetition-penalty R makes what was said already less probable; 1 is off
  --max-tokens N         longest answer (max_new_tokens of generation_config.json, else 512, or what the context leaves)
  ${GENERATION_CONFIG_HELP}
  --seed N               root of the random numbers (0)
  ${ADAPTER_HELP}
  ${ENGINE_HELP}
  ${COMPUTE_HELP}
  --json                 one JSON line per answer: {"prompt", "completion", "reasoning", "answer", "finishReason", "tokens"}

Example
  aha chat runs/countdown-tiny-1 --prompt 'Using the numbers [6, 3, 3], create an equation that equals 54.\\n<think>'
`;

const OPTIONS = {
  prompt: { type: "string" },
  system: { type: "string" },
  raw: { type: "boolean" },
  temperature: { type: "string" },
  "top-p": { type: "string" },
  "top-k": { type: "string" },
  "min-p": { type: "string" },
  "repetition-penalty": { type: "string" },
  "max-tokens": { type: "string" },
  ...GENERATION_CONFIG_OPTION,
  seed: { type: "string" },
  ...ADAPTER_OPTION,
  ...ENGINE_OPTION,
  ...COMPUTE_OPTIONS,
  json: { type: "boolean" },
} as const;

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>["values"];

const DEFAULT_MAX_TOKENS = 512;
const EXIT_INTERRUPTED = 130;

/** `aha chat`. */
export const chatCommand: Command = {
  help: HELP,
  syntax: { options: OPTIONS, arguments: ["model"] },
  run: async (args, context) => {
    const { values, positionals } = parseOptions("chat", args, OPTIONS, ["DIR"]);
    const opened = await modelToRead(positionals[0]!, values, context);
    const { modelDirectory, tokenizerDirectory, source } = opened;
    const sampling = samplingOf(values, await generationDefaults(modelDirectory, values));
    const tokenizer = await loadTokenizer(tokenizerDirectory);
    const isChat = !values.raw && hasChatTemplate(tokenizer);
    if (values.system !== undefined && !isChat) {
      throw new ConfigError("aha chat: --system needs a chat template, and plain text has none; leave it out.");
    }
    const engine = await openSampler(opened.engine, source, computeOfEngine(opened.engine, values));
    const chat = isChat ? { system: values.system } : undefined;
    const session = await openSession({ engine, tokenizer, sampling, chat });
    const display = values.json
      ? jsonDisplay(context.out)
      : streamingDisplay(context.out, { terminal: process.stdout.isTTY === true });
    try {
      if (values.prompt !== undefined) {
        const answer = await session.answer(values.prompt, display.part, context.signal);
        display.end(answer);
        return answer.finishReason === "cancelled" ? EXIT_INTERRUPTED : 0;
      }
      const output = process.stdin.isTTY === true ? process.stderr : undefined;
      await readAndAnswer(session, { input: process.stdin, output }, context, display);
      return 0;
    } finally {
      await session.dispose();
      await engine.dispose();
    }
  },
};

/** Throws ConfigError, and gives the engine back, where it cannot draw as asked. */
async function openSession(options: ChatSessionOptions): Promise<ChatSession> {
  const { engine, sampling } = options;
  if (engine.capabilities.sessions || (sampling.repetitionPenalty ?? 1) === 1) return new ChatSession(options);
  await engine.dispose();
  throw new ConfigError(
    `aha chat: the engine ${engine.info.name} has no repetition penalty (${sampling.repetitionPenalty}, by the option or by ` +
      "the model's generation_config.json): give --repetition-penalty 1.",
  );
}

/** Shows answers. */
export interface AnswerDisplay {
  readonly part: (part: AnswerPart) => void;
  /** The answer is complete, or was stopped. */
  readonly end: (answer: ChatReply) => void;
}

/** One JSON line for each answer. */
export function jsonDisplay(write: (text: string) => void): AnswerDisplay {
  return { part: () => {}, end: (answer) => write(`${JSON.stringify(answer)}\n`) };
}

/** Text as it comes; on a `terminal` without signs that could move its cursor, and with colours thinking dimmed. */
export function streamingDisplay(
  write: (text: string) => void,
  { terminal, style = styleFor(terminal) }: { readonly terminal: boolean; readonly style?: Style },
): AnswerDisplay {
  const clean = (text: string) => (terminal ? printable(text.replaceAll("\t", "    ")) : text);
  const dims = style.dim("x") !== "x";
  let shown: Channel | undefined;
  return {
    part: ({ text, pieces }) => {
      if (!dims) write(clean(text));
      for (const piece of dims ? pieces : []) {
        if (shown === "reasoning" && piece.channel === "content") write("\n\n");
        shown = piece.channel;
        write(shown === "reasoning" ? style.dim(clean(piece.text)) : clean(piece.text));
      }
    },
    end: ({ finishReason }) => {
      shown = undefined;
      write(terminal && finishReason !== "stop" ? ` ${style.dim(`[${ENDS[finishReason]}]`)}\n` : "\n");
    },
  };
}

const ENDS = { length: "longest answer; see --max-tokens", cancelled: "stopped" } as const;

/** Where lines come from; `output` is the terminal that shows what is typed, where there is one. */
export interface LineSource {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  readonly output?: NodeJS.WritableStream | undefined;
}

/** Answers line by line until the input ends or the user stops. At the keyboard Ctrl-C first stops a running answer. */
export async function readAndAnswer(
  session: ChatSession,
  { input, output }: LineSource,
  context: CommandContext,
  display: AnswerDisplay,
): Promise<void> {
  const atKeyboard = input.isTTY === true;
  const lines = createInterface({
    input,
    // On a terminal readline gets Ctrl-C as a key, and the process gets no signal.
    ...(output && { output, terminal: true, prompt: "> " }),
    crlfDelay: Number.POSITIVE_INFINITY,
  });
  const invite = () => {
    if (output) lines.prompt();
    else if (atKeyboard) context.note("> ");
  };
  let answering: AbortController | undefined;
  const stop = () => {
    answering?.abort();
    lines.close();
  };
  lines.on("SIGINT", () => (answering ? answering.abort() : lines.close()));
  context.signal.addEventListener("abort", stop, { once: true });
  try {
    invite();
    for await (const line of lines) {
      if (context.signal.aborted) break;
      if (line.trim() === FORGET || !atKeyboard) session.forget();
      if (line.trim() !== "" && line.trim() !== FORGET) {
        answering = new AbortController();
        await answerLine(session, line, { atKeyboard, context, display, signal: answering.signal });
        answering = undefined;
      }
      invite();
    }
  } finally {
    context.signal.removeEventListener("abort", stop);
    lines.close();
  }
}

/** At the keyboard a line that cannot be answered is no reason to end the conversation. */
async function answerLine(
  session: ChatSession,
  line: string,
  how: {
    readonly atKeyboard: boolean;
    readonly context: CommandContext;
    readonly display: AnswerDisplay;
    readonly signal: AbortSignal;
  },
): Promise<void> {
  try {
    how.display.end(await session.answer(line, how.display.part, how.signal));
  } catch (error) {
    if (!how.atKeyboard || !(error instanceof DataError)) throw error;
    how.context.note(`${error.message}\n`);
  }
}

/** The options, else the model's own defaults, else what changes nothing. */
function samplingOf(values: Values, defaults: GenerationDefaults): ChatSampling {
  const text = (option: keyof Values, otherwise: number) => String(values[option] ?? otherwise);
  const share = (value: number) => value > 0 && value <= 1;
  return {
    temperature: numberOption(
      "temperature",
      text("temperature", defaults.temperature ?? 1),
      isTemperature,
      "a number of at least 0",
    ),
    // 0 leaves the most probable token, as every nucleus has at least one.
    topP: numberOption("top-p", text("top-p", Math.max(defaults.topP ?? 1, 1e-9)), share, "above 0 and at most 1"),
    topK: wholeNumberOption("top-k", text("top-k", defaults.topK ?? 0), 0),
    minP: numberOption("min-p", text("min-p", defaults.minP ?? 0), (value) => value >= 0 && value <= 1, "from 0 to 1"),
    repetitionPenalty: numberOption(
      "repetition-penalty",
      text("repetition-penalty", defaults.repetitionPenalty ?? 1),
      (value) => value > 0 && Number.isFinite(value),
      "a number above 0",
    ),
    maxTokens: wholeNumberOption("max-tokens", text("max-tokens", defaults.maxTokens ?? DEFAULT_MAX_TOKENS), 1),
    seed: seedOption(text("seed", 0)),
  };
}

function isTemperature(value: number): boolean {
  return value >= 0 && Number.isFinite(value);
}

/** Whether the checkpoint has a template: rendering without one is a DataError. */
function hasChatTemplate(tokenizer: Tokenizer): boolean {
  try {
    tokenizer.applyChatTemplate([{ role: "user", content: "." }], { addGenerationPrompt: true });
    return true;
  } catch (error) {
    if (error instanceof DataError) return false;
    throw error;
  }
}

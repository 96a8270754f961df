/**
 * `aha chat`: talk to a model. With a chat template it is a conversation; without one the model continues the text that
 * it is given, which is what a base model does.
 */

import { createInterface } from "node:readline";
import type { Engine } from "../engine/engine.ts";
import { createLocalEngine } from "../engine/local/create.ts";
import { ConfigError, DataError } from "../errors.ts";
import { stopTokens } from "../rollout/collect.ts";
import { loadTokenizer } from "../tokenizer/huggingface.ts";
import type { Message, Tokenizer } from "../tokenizer/tokenizer.ts";
import type { Command, CommandContext } from "./command.ts";
import { openModel } from "./model-directory.ts";
import { numberOption, parseOptions, seedOption, threadsOption, wholeNumberOption } from "./parse-options.ts";

const HELP = `Usage: aha chat DIR [--prompt TEXT] [options]

Talks to the model in DIR (a model directory, the directory of a run, or ORG/NAME[@REVISION] on the Hub). Where the checkpoint has a chat template this
is a conversation; where it has none the model continues your text, in which \\n stands for a line break. Without
--prompt it reads from the keyboard, until Ctrl-D (/new forgets what was said); piped in, every line is a prompt of its
own and gets one answer.

Options
  --prompt TEXT          answer this and end
  --system TEXT          a system message (with a chat template)
  --raw                  continue plain text although there is a chat template
  --temperature T        softmax temperature (1); 0 is greedy
  --top-p P, --top-k K   restrict sampling (off)
  --max-tokens N         longest answer (512, or what the model's context leaves)
  --seed N               root of the random numbers (0)
  --threads N            threads to compute with (one per processor, at most 8)
  --json                 one JSON line {"prompt", "completion", "finishReason", "tokens"} per answer

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
  "max-tokens": { type: "string" },
  seed: { type: "string" },
  threads: { type: "string" },
  json: { type: "boolean" },
} as const;

type Values = ReturnType<typeof parseOptions<typeof OPTIONS>>["values"];

const DEFAULT_MAX_TOKENS = 512;
const FORGET = "/new";

interface Answer {
  /** The whole text that the model saw. */
  readonly prompt: string;
  readonly completion: string;
  readonly finishReason: "stop" | "length";
  readonly tokens: number;
}

/** `aha chat`. */
export const command: Command = {
  help: HELP,
  run: async (args, context) => {
    const { values, positionals } = parseOptions("chat", args, OPTIONS, ["DIR"]);
    const { modelDirectory } = await openModel(positionals[0]!, context);
    const sampling = samplingOf(values);
    const tokenizer = await loadTokenizer(modelDirectory);
    const isChat = !values.raw && hasChatTemplate(tokenizer);
    if (values.system !== undefined && !isChat) {
      throw new ConfigError("aha chat: --system needs a chat template, and plain text has none; leave it out.");
    }
    const engine = await createLocalEngine(modelDirectory, threadsOption(values.threads));
    try {
      const session = new ChatSession(engine, tokenizer, sampling, isChat ? { system: values.system } : undefined);
      const print = (answer: Answer) => context.out(`${values.json ? JSON.stringify(answer) : answer.completion}\n`);
      if (values.prompt !== undefined) print(await session.answer(values.prompt));
      else await readAndAnswer(session, process.stdin, context, print);
      return 0;
    } finally {
      await engine.dispose();
    }
  },
};

/** A conversation, or with `chat` undefined a series of texts that have nothing to do with each other. */
export class ChatSession {
  private readonly engine: Engine;
  private readonly tokenizer: Tokenizer;
  private readonly sampling: Sampling;
  private readonly chat: { readonly system: string | undefined } | undefined;
  private messages: Message[] = [];
  private turn = 0;

  constructor(
    engine: Engine,
    tokenizer: Tokenizer,
    sampling: Sampling,
    chat: { readonly system: string | undefined } | undefined,
  ) {
    this.engine = engine;
    this.tokenizer = tokenizer;
    this.sampling = sampling;
    this.chat = chat;
    this.forget();
  }

  /** Starts a new conversation. */
  forget(): void {
    const system = this.chat?.system;
    this.messages = system === undefined ? [] : [{ role: "system", content: system }];
  }

  /**
   * The model's answer to `text`, which becomes part of the conversation with it.
   *
   * @throws DataError where nothing was said, or the conversation leaves no room in the model's context.
   */
  async answer(text: string): Promise<Answer> {
    const asked: Message[] = [...this.messages, { role: "user", content: text }];
    const prompt = this.chat
      ? this.tokenizer.applyChatTemplate(asked, { addGenerationPrompt: true })
      : text.replaceAll("\\n", "\n");
    const tokens = this.tokenizer.encode(prompt);
    const room = this.engine.info.maxContextTokens - tokens.length;
    if (tokens.length === 0) throw new DataError("The prompt is empty; give the model at least one token.");
    if (room < 1) {
      throw new DataError(
        `The prompt has ${tokens.length} tokens and the model's context ${this.engine.info.maxContextTokens}: there is no ` +
          `room for an answer. Start a new conversation (${FORGET}), or say less.`,
      );
    }
    const { maxTokens, ...sampling } = this.sampling;
    const [sequence] = await this.engine.sample([{ tokens, numSamples: 1, promptId: 0 }], {
      ...sampling,
      maxCompletionTokens: Math.min(maxTokens, room),
      stopTokenIds: stopTokens(this.engine, this.tokenizer),
      iteration: this.turn++,
    });
    const completion = this.tokenizer.decode(sequence!.tokens);
    this.messages = [...asked, { role: "assistant", content: completion }];
    return { prompt, completion, finishReason: sequence!.finishReason, tokens: sequence!.tokens.length };
  }
}

/** Answers line by line until the input ends or the user stops. */
export async function readAndAnswer(
  session: ChatSession,
  input: NodeJS.ReadableStream & { readonly isTTY?: boolean },
  context: CommandContext,
  print: (answer: Answer) => void,
): Promise<void> {
  const atKeyboard = input.isTTY === true;
  const invite = () => {
    if (atKeyboard) context.note("> ");
  };
  const lines = createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY });
  const stop = () => lines.close();
  context.signal.addEventListener("abort", stop, { once: true });
  try {
    invite();
    for await (const line of lines) {
      if (context.signal.aborted) break;
      if (line.trim() === FORGET || !atKeyboard) session.forget();
      if (line.trim() !== "" && line.trim() !== FORGET) await answerLine(session, line, atKeyboard, context, print);
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
  atKeyboard: boolean,
  context: CommandContext,
  print: (answer: Answer) => void,
): Promise<void> {
  try {
    print(await session.answer(line));
  } catch (error) {
    if (!atKeyboard || !(error instanceof DataError)) throw error;
    context.note(`${error.message}\n`);
  }
}

interface Sampling {
  readonly temperature: number;
  readonly topP: number;
  readonly topK: number;
  readonly maxTokens: number;
  readonly seed: number;
}

function samplingOf(values: Values): Sampling {
  const text = (option: keyof Values, otherwise: number) => String(values[option] ?? otherwise);
  return {
    temperature: numberOption("temperature", text("temperature", 1), isTemperature, "a number of at least 0"),
    topP: numberOption("top-p", text("top-p", 1), (value) => value > 0 && value <= 1, "above 0 and at most 1"),
    topK: wholeNumberOption("top-k", text("top-k", 0), 0),
    maxTokens: wholeNumberOption("max-tokens", text("max-tokens", DEFAULT_MAX_TOKENS), 1),
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

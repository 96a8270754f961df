/**
 * Chat templates: a checkpoint's Jinja program that turns a conversation into the text its model was trained on.
 *
 * The interpreter is Hugging Face's own (`@huggingface/jinja`): it knows no files, no imports and no host objects, so a
 * template from the Hub can compute text and nothing else. It is given its global functions here, not by the package,
 * whose dates follow the machine's language and whose ranges have no bound. What a template sees, and how `continue_final_message` is
 * treated, follows transformers' `apply_chat_template` to the letter, since a prompt that differs by one space is another
 * prompt: `tools` and `documents` are none where there are none, `reasoning_content` is there as `thinking` too, and a
 * checkpoint with several templates has one for conversations with tools.
 */

import { Environment, Interpreter, Template } from "@huggingface/jinja";
import { CheckpointError, DataError, nearestName } from "../errors.ts";
import { formatDate } from "./format-date.ts";
import type { ChatTemplateOptions, Message } from "./tokenizer.ts";

/** Marks the end of the message to be continued; the trailing space shows whether the template trims messages. */
const CONTINUE_TAG = "CONTINUE_FINAL_MESSAGE_TAG ";

/** Jinja's sandbox allows so long a range, too. */
const LONGEST_RANGE = 100_000;

/** Constants and functions of every template; some write Python's constants with a capital. */
const GLOBALS: Readonly<Record<string, unknown>> = {
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
  range: rangeOf,
  raise_exception: (message: unknown) => {
    throw new Error(String(message));
  },
};

const DEFAULT = "default";
const WITH_TOOLS = "tool_use";

/** A checkpoint's templates by name; most have one, `default`. */
export class ChatTemplates {
  readonly names: readonly string[];
  readonly #sources: ReadonlyMap<string, string>;
  readonly #specialTokens: Readonly<Record<string, string>>;
  readonly #compiled = new Map<string, Template>();

  /** `specialTokens`: what a template sees under `bos_token`, `eos_token`, …. */
  constructor(sources: ReadonlyMap<string, string>, specialTokens: Readonly<Record<string, string>>) {
    this.names = [...sources.keys()];
    this.#sources = sources;
    this.#specialTokens = specialTokens;
  }

  /**
   * The conversation as text. `continueFinalMessage` ends it right after the last message's content, so that the model
   * goes on with that message; `addGenerationPrompt` opens a new assistant message. Both at once contradict each other.
   * Throws DataError for a conversation that the template refuses, CheckpointError for a template that does not parse.
   */
  render(messages: readonly Message[], options: ChatTemplateOptions = {}): string {
    const { addGenerationPrompt = false, continueFinalMessage = false } = options;
    const last = messages.at(-1);
    if (last === undefined) throw new DataError("A chat template needs at least one message; there is none.");
    if (!continueFinalMessage) return this.#run(messages, options);
    if (addGenerationPrompt) {
      throw new DataError(
        "addGenerationPrompt opens a new message and continueFinalMessage goes on with the last one: choose one.",
      );
    }
    const tagged = [...messages.slice(0, -1), { ...last, content: last.content + CONTINUE_TAG }];
    const rendered = this.#run(tagged, options);
    const tag = CONTINUE_TAG.trim();
    const end = rendered.lastIndexOf(tag);
    if (end < 0 || !rendered.includes(last.content.trim())) {
      throw new DataError(
        "The chat template drops or changes part of the last message, so it cannot be continued: " +
          JSON.stringify(last.content.slice(0, 80)),
      );
    }
    const preservesSpaces = rendered.startsWith(CONTINUE_TAG, end);
    return preservesSpaces ? rendered.slice(0, end) : rendered.slice(0, end).trimEnd();
  }

  #run(messages: readonly Message[], options: ChatTemplateOptions): string {
    const template = this.#compile(this.#nameFor(options));
    const { tools, documents, variables, now = new Date(), addGenerationPrompt = false } = options;
    try {
      const environment = new Environment();
      const names = {
        ...GLOBALS,
        strftime_now: (format: string) => formatDate(now, format),
        ...this.#specialTokens,
        ...variables,
        messages: messages.map(fieldsOf),
        tools: tools ?? null,
        documents: documents ?? null,
        add_generation_prompt: addGenerationPrompt,
      };
      for (const [name, value] of Object.entries(names)) environment.set(name, value);
      return String(new Interpreter(environment).run(template.parsed).value);
    } catch (error) {
      throw new DataError(`The chat template refuses this conversation: ${messageOf(error)}`);
    }
  }

  #nameFor({ template, tools }: ChatTemplateOptions): string {
    if (template !== undefined) {
      if (this.#sources.has(template)) return template;
      const near = nearestName(template, this.names);
      const hint = near === undefined ? "" : ` Did you mean ${JSON.stringify(near)}?`;
      throw new DataError(
        `There is no chat template ${JSON.stringify(template)}; there are ${this.names.join(", ")}.${hint}`,
      );
    }
    if (tools !== undefined && this.#sources.has(WITH_TOOLS)) return WITH_TOOLS;
    if (this.#sources.has(DEFAULT)) return DEFAULT;
    throw new DataError(`None of the chat templates is the default; name one of ${this.names.join(", ")}.`);
  }

  #compile(name: string): Template {
    let compiled = this.#compiled.get(name);
    if (compiled === undefined) {
      try {
        compiled = new Template(this.#sources.get(name)!);
      } catch (error) {
        throw new CheckpointError(`The checkpoint's chat template does not parse: ${messageOf(error)}`);
      }
      this.#compiled.set(name, compiled);
    }
    return compiled;
  }
}

/** Python's `range`: start, end, step, or the end alone. */
function rangeOf(first: number, end?: number, step = 1): number[] {
  const [from, to] = end === undefined ? [0, first] : [first, end];
  const length = Math.max(0, Math.ceil((to - from) / step));
  if (!(length <= LONGEST_RANGE)) throw new Error(`a range of ${length} numbers is too long, or its step is 0`);
  return Array.from({ length }, (_, i) => from + i * step);
}

/** A message's fields as a template sees them; those without a value are not there at all. */
function fieldsOf(message: Message): Record<string, unknown> {
  const fields = Object.entries(message).filter(([, value]) => value !== null && value !== undefined);
  const reasoning = message.reasoning_content;
  return { ...(reasoning !== undefined && { thinking: reasoning }), ...Object.fromEntries(fields) };
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

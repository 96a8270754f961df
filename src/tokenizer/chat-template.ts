/**
 * Chat templates: a checkpoint's Jinja program that turns a conversation into the text its model was trained on.
 *
 * The interpreter is `jinja/`. What a template sees, and how `continue_final_message` is treated, follows transformers'
 * `apply_chat_template` to the letter, since a prompt that differs by one space is another prompt: fields of a message
 * without a value are not there, reasoning is there under the names that templates read, `tools` and `documents` are none
 * where there are none, and a checkpoint with several templates has one for conversations with tools.
 */

import { CheckpointError, DataError, nearestName } from "../errors.ts";
import { TemplateError, TemplateSyntaxError, UnsupportedTemplateError } from "./jinja/errors.ts";
import { Template } from "./jinja/template.ts";
import { stripEnd, stripStart } from "./jinja/text.ts";
import type { ChatTemplateOptions, Message } from "./tokenizer.ts";

/** Marks the end of the message to be continued; the trailing space shows whether the template trims messages. */
const CONTINUE_TAG = "CONTINUE_FINAL_MESSAGE_TAG ";

const DEFAULT = "default";
const WITH_TOOLS = "tool_use";

/** The names under which data keep what a model thought, the one that counts first. */
export const REASONING_FIELDS = ["reasoning_content", "thinking", "reasoning"] as const;

/** A checkpoint's templates by name; most have one, `default`. */
export class ChatTemplates {
  readonly names: readonly string[];
  readonly #sources: ReadonlyMap<string, string>;
  readonly #specialTokens: Readonly<Record<string, unknown>>;
  readonly #compiled = new Map<string, Template>();

  /** `specialTokens`: what a template sees under `bos_token`, `eos_token`, …. */
  constructor(sources: ReadonlyMap<string, string>, specialTokens: Readonly<Record<string, unknown>>) {
    this.names = [...sources.keys()];
    this.#sources = sources;
    this.#specialTokens = specialTokens;
  }

  /**
   * The conversation as text. `continueFinalMessage` ends it right after the last message's content, so that the model
   * goes on with that message; `addGenerationPrompt` opens a new assistant message. Both at once contradict each other.
   *
   * @throws DataError for a conversation that the template refuses; CheckpointError for a template that does not parse or
   * that asks for something of Jinja that Aha does not have.
   */
  render(messages: readonly Message[], options: ChatTemplateOptions = {}): string {
    const { addGenerationPrompt = false, continueFinalMessage = false } = options;
    const given = messages.map(fieldsOf);
    const last = given.at(-1);
    if (last === undefined) throw new DataError("A chat template needs at least one message; there is none.");
    if (!continueFinalMessage) return this.#run(given, options);
    if (addGenerationPrompt) {
      throw new DataError(
        "addGenerationPrompt opens a new message and continueFinalMessage goes on with the last one: choose one.",
      );
    }
    const { message, text } = withContinueTag(last);
    const rendered = this.#run([...given.slice(0, -1), message], options);
    const tag = CONTINUE_TAG.trimEnd();
    const end = rendered.lastIndexOf(tag);
    if (end < 0 || !rendered.includes(stripStart(stripEnd(text)))) {
      throw new DataError(
        "The chat template drops or changes part of the last message, so it cannot be continued: " +
          JSON.stringify(text.slice(0, 80)),
      );
    }
    const preservesSpaces = rendered.startsWith(CONTINUE_TAG, end);
    return preservesSpaces ? rendered.slice(0, end) : stripEnd(rendered.slice(0, end));
  }

  #run(messages: readonly Readonly<Record<string, unknown>>[], options: ChatTemplateOptions): string {
    const template = this.#compile(this.#nameFor(options));
    const { tools, documents, variables, now = new Date(), addGenerationPrompt = false } = options;
    const given = {
      ...this.#specialTokens,
      ...variables,
      messages,
      tools: tools ?? null,
      documents: documents ?? null,
      add_generation_prompt: addGenerationPrompt,
    };
    try {
      return template.render(given, now);
    } catch (error) {
      if (error instanceof TemplateError) {
        throw new DataError(`The chat template refuses this conversation: ${error.message}`);
      }
      throw refusalOf(error);
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
        throw refusalOf(error);
      }
      this.#compiled.set(name, compiled);
    }
    return compiled;
  }
}

/** What is wrong with the template itself, as an error that says so; any other error as it is. */
function refusalOf(error: unknown): unknown {
  if (error instanceof TemplateSyntaxError) {
    return new CheckpointError(`The checkpoint's chat template does not parse: ${error.message}`);
  }
  if (error instanceof UnsupportedTemplateError) {
    return new CheckpointError(
      `The checkpoint's chat template uses something of Jinja that Aha does not have: ${error.message}. Rewrite that part ` +
        "of the template, in chat_template.jinja or in chat_template of tokenizer_config.json.",
    );
  }
  return error;
}

/** A message's fields as a template sees them. Reasoning is there as `reasoning_content` and, for gpt-oss, `thinking`. */
function fieldsOf(message: Message): Readonly<Record<string, unknown>> {
  const fields = Object.fromEntries(
    Object.entries(message).filter(([, value]) => value !== null && value !== undefined),
  );
  const reasoning = REASONING_FIELDS.map((name) => fields[name]).find((value) => value !== undefined);
  return reasoning === undefined ? fields : { thinking: reasoning, ...fields, reasoning_content: reasoning };
}

/** The message with a mark at the end of its content, and that content, the last text of a list of parts. */
function withContinueTag(message: Readonly<Record<string, unknown>>): {
  readonly message: Readonly<Record<string, unknown>>;
  readonly text: string;
} {
  const { content } = message;
  if (typeof content === "string") return { message: { ...message, content: content + CONTINUE_TAG }, text: content };
  if (Array.isArray(content)) {
    const at = content.findLastIndex((part) => typeof part?.text === "string");
    if (at >= 0) {
      const part = content[at] as { readonly text: string };
      const tagged = content.with(at, { ...part, text: part.text + CONTINUE_TAG });
      return { message: { ...message, content: tagged }, text: part.text };
    }
  }
  throw new DataError("The last message has no text to be continued.");
}

/**
 * Chat templates: a checkpoint's Jinja program that turns a conversation into the text its model was trained on.
 *
 * The interpreter is Hugging Face's own (`@huggingface/jinja`): it knows no files, no imports and no host objects, so a
 * template from the Hub can compute text and nothing else. The options are those of transformers'
 * `apply_chat_template`, whose treatment of `continue_final_message` is followed to the letter, since a prompt that
 * differs by one space is another prompt.
 */

import { Template } from "@huggingface/jinja";
import { CheckpointError, DataError } from "../errors.ts";
import type { Message } from "./tokenizer.ts";

/** Marks the end of the message to be continued; the trailing space shows whether the template trims messages. */
const CONTINUE_TAG = "CONTINUE_FINAL_MESSAGE_TAG ";

export class ChatTemplate {
  readonly #source: string;
  readonly #specialTokens: Readonly<Record<string, string>>;
  #compiled: Template | undefined;

  /** `specialTokens`: what the template sees under `bos_token`, `eos_token`, …. */
  constructor(source: string, specialTokens: Readonly<Record<string, string>>) {
    this.#source = source;
    this.#specialTokens = specialTokens;
  }

  /**
   * The conversation as text. `continueFinalMessage` ends it right after the last message's content, so that the model
   * goes on with that message; `addGenerationPrompt` opens a new assistant message. Both at once contradict each other.
   * Throws DataError for a conversation that the template refuses, CheckpointError for a template that does not parse.
   */
  render(
    messages: readonly Message[],
    options: { addGenerationPrompt?: boolean; continueFinalMessage?: boolean } = {},
  ): string {
    const { addGenerationPrompt = false, continueFinalMessage = false } = options;
    if (!continueFinalMessage) return this.#run(messages, addGenerationPrompt);
    if (addGenerationPrompt) {
      throw new DataError(
        "addGenerationPrompt opens a new message and continueFinalMessage goes on with the last one: choose one.",
      );
    }
    const last = messages.at(-1);
    if (last === undefined) throw new DataError("continueFinalMessage needs at least one message; there is none.");
    const tagged = [...messages.slice(0, -1), { role: last.role, content: last.content + CONTINUE_TAG }];
    const rendered = this.#run(tagged, false);
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

  #run(messages: readonly Message[], addGenerationPrompt: boolean): string {
    const template = this.#compile();
    try {
      return template.render({
        ...this.#specialTokens,
        messages: messages.map(({ role, content }) => ({ role, content })),
        add_generation_prompt: addGenerationPrompt,
      });
    } catch (error) {
      throw new DataError(`The chat template refuses this conversation: ${messageOf(error)}`);
    }
  }

  #compile(): Template {
    try {
      this.#compiled ??= new Template(this.#source);
      return this.#compiled;
    } catch (error) {
      throw new CheckpointError(`The checkpoint's chat template does not parse: ${messageOf(error)}`);
    }
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** The messages of a conversation as clients send them, and the prompt that the model's template makes of them. */

import { z } from "zod";
import { DataError } from "../errors.ts";
import type { Message } from "../tokenizer/tokenizer.ts";
import { invalidParameter } from "./api-error.ts";
import { renderConversation } from "./conversation.ts";
import { encodeWithin, type ReadableModel } from "./model-facts.ts";
import type { Channel } from "./reasoning.ts";

const contentPart = z.looseObject({ type: z.string(), text: z.string().optional() });

const messageShape = {
  role: z.string(),
  content: z.union([z.string(), z.array(contentPart)]).nullish(),
  name: z.string().nullish(),
  refusal: z.string().nullish(),
  reasoning_content: z.string().nullish(),
  reasoning: z.string().nullish(),
  annotations: z.array(z.unknown()).nullish(),
  audio: z.unknown().optional(),
  tool_calls: z.array(z.unknown()).nullish(),
  tool_call_id: z.string().nullish(),
  function_call: z.unknown().optional(),
} as const;

/**
 * A message as clients send it, also one that they got from a server and send back. Keys that are not here (`type`, `id`,
 * `prefix`) are left aside, as other servers do, unless they are one of these with an ending more or less (`contents`).
 */
const message = z.looseObject(messageShape).superRefine((given, context) => {
  for (const key of Object.keys(given)) {
    if (Object.hasOwn(messageShape, key) || !Object.keys(messageShape).some((known) => isMisspelt(key, known)))
      continue;
    context.addIssue({ code: "unrecognized_keys", keys: [key], input: given });
  }
});

function isMisspelt(key: string, known: string): boolean {
  return Math.abs(key.length - known.length) <= 2 && (key.startsWith(known) || known.startsWith(key));
}

type SentMessage = z.output<typeof message>;

/** A conversation has at least one message. */
export const messageList = z.array(message).min(1);

/** The parameters that say how a conversation is rendered. */
export const templateFields = {
  add_generation_prompt: z.boolean().optional(),
  continue_final_message: z.boolean().default(false),
  chat_template_kwargs: z.record(z.string(), z.unknown()).optional(),
} as const;

interface Conversation extends z.output<z.ZodObject<typeof templateFields>> {
  readonly messages: readonly SentMessage[];
  readonly add_special_tokens?: boolean;
}

/** The prompt, and where the completion begins: inside of <think> or not. Throws ApiError. */
export function readConversation(
  model: ReadableModel,
  request: Conversation,
): { readonly tokens: Int32Array; readonly channel: Channel } {
  const messages = request.messages.map(readMessage);
  const continueFinalMessage = request.continue_final_message;
  const addGenerationPrompt = request.add_generation_prompt ?? !continueFinalMessage;
  if (continueFinalMessage && addGenerationPrompt) {
    throw invalidParameter("continue_final_message", "continue_final_message needs add_generation_prompt: false.");
  }
  if (continueFinalMessage && messages.at(-1)!.role !== "assistant") {
    throw invalidParameter("continue_final_message", "continue_final_message needs a last message of the assistant's.");
  }
  try {
    const variables = request.chat_template_kwargs ?? {};
    const options = { addGenerationPrompt, continueFinalMessage, variables };
    const { text, channel } = renderConversation(model.tokenizer, messages, options);
    const addSpecial = request.add_special_tokens ?? false;
    return { tokens: encodeWithin(model, text, "messages", { addSpecial }), channel };
  } catch (error) {
    if (!(error instanceof DataError)) throw error;
    throw invalidParameter("messages", error.message, "invalid_messages");
  }
}

function readMessage(sent: SentMessage, index: number): Message {
  const { role, content, name, tool_calls, function_call, audio } = sent;
  // Servers use both names for it.
  const thought = sent.reasoning_content ?? sent.reasoning;
  const where = `messages[${index}]`;
  const refuse = (what: string, lacks: string) =>
    invalidParameter(where, `${where}: ${what} are not supported by this server: ${lacks}.`, "unsupported_parameter");
  if (role === "tool" || role === "function") throw refuse("tools", "the model would not be told what they answered");
  if (!["system", "developer", "user", "assistant"].includes(role)) {
    throw invalidParameter(
      `${where}.role`,
      `${where}.role: expected system, developer, user or assistant, got ${JSON.stringify(role.slice(0, 40))}.`,
    );
  }
  if ((tool_calls && tool_calls.length > 0) || (function_call !== undefined && function_call !== null))
    throw refuse("tool calls", "the model would not be told of them");
  if (audio !== undefined && audio !== null) throw refuse("audio messages", "the model would not get them");
  if (content === undefined || content === null) {
    throw invalidParameter(`${where}.content`, `${where}.content: is missing; expected text.`);
  }
  const texts =
    typeof content === "string"
      ? [content]
      : content.map(({ type, text }, part) => {
          if (type === "text" && text !== undefined) return text;
          throw invalidParameter(
            `${where}.content[${part}]`,
            `${where}.content[${part}]: only parts of type text (with a text) are supported, not ${JSON.stringify(type.slice(0, 40))}.`,
            "unsupported_parameter",
          );
        });
  // Templates do not have the role `developer`, which is OpenAI's name of the system role for its newer models.
  return {
    role: role === "developer" ? "system" : role,
    content: texts.join(""),
    ...(typeof name === "string" && { name }),
    ...(typeof thought === "string" && { reasoning_content: thought }),
  };
}

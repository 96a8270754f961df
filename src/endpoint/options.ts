/**
 * The keys by which a recipe names a model behind an endpoint: a judge, a teacher, a refining model. One shape for all of
 * them; `open.ts` has the client that it means.
 *
 * `baseUrl`, `model` and `route` say which model is asked; all other keys are about time limits, retries and costs, and
 * do not change the answers. So a stage's content hash has only the former (`endpointIdentity`): after a limit is
 * raised or a key is renewed, finished results are still valid.
 */

import { z } from "zod";
import { quotedText } from "./chat.ts";

/** The variable that has the API key where none is named. */
export const DEFAULT_KEY_VARIABLE = "OPENAI_API_KEY";

/**
 * What is wrong with the address of a server; undefined where nothing is. What may be a password is in no message: recipes, logs
 * and run directories have no keys, so an address has none either.
 */
export function addressFault(address: string, example = "http://127.0.0.1:8000/v1"): string | undefined {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  if (url === undefined || !["http:", "https:"].includes(url.protocol)) {
    return `expected an http or https address such as ${example}, got ${quotedText(withoutUser(address))}`;
  }
  if (url.username !== "" || url.password !== "") {
    return "holds a user name or password; put the key into an environment variable instead";
  }
  if (url.search === "" && url.hash === "") return undefined;
  return "holds a query (?) or a fragment (#), which no server's address has; put a key into an environment variable";
}

/** An address without what stands before its last @. */
export function withoutUser(address: string): string {
  return address.replace(/^([a-z][a-z0-9+.-]*:\/*)?.*@/is, "$1…@");
}

/** Which model is asked, with which time limits and retries: all that a client without a cache needs. */
export const connectionShape = {
  baseUrl: z
    .string()
    .min(1)
    .superRefine((baseUrl, context) => {
      const fault = addressFault(baseUrl);
      if (fault !== undefined) context.addIssue(fault);
    })
    .describe("where the endpoint's routes begin, e.g. http://127.0.0.1:8000/v1"),
  model: z.string().min(1).describe("the model's name there"),
  apiKeyEnv: z.string().min(1).default(DEFAULT_KEY_VARIABLE).describe("the environment variable that has the API key"),
  timeoutMs: z.int().min(1).default(60_000).describe("time limit of one try"),
  attempts: z.int().min(1).max(20).default(4).describe("tries for one answer, with growing waits between them"),
  concurrency: z.int().min(1).max(1000).default(8).describe("requests under way at once"),
};

/** Keys and defaults, for schemas that add keys of their own. */
export const endpointShape = {
  ...connectionShape,
  cacheDirectory: z
    .union([z.string().min(1), z.literal(false)])
    .optional()
    .describe("folder of answers to be used again; false: none; $XDG_CACHE_HOME/aha/endpoint if absent"),
  maxTokens: z.int().min(1).optional().describe("most tokens of the run, prompts and answers; unlimited if absent"),
  maxCost: z.number().positive().optional().describe("most money of the run, by the two prices; unlimited if absent"),
  promptPrice: z.number().min(0).default(0).describe("price of a million tokens of prompts"),
  completionPrice: z.number().min(0).default(0).describe("price of a million tokens of answers"),
};

/** Those keys that change no answer; the others say which model is asked. */
export const PATIENCE_KEYS: readonly string[] = Object.keys(endpointShape).filter(
  (key) => key !== "baseUrl" && key !== "model",
);

export type ConnectionConfig = z.output<z.ZodObject<typeof connectionShape>>;
export type EndpointConfig = z.output<z.ZodObject<typeof endpointShape>>;

/** For `superRefine`: a limit on costs without a price. */
export function refineEndpoint(
  { maxCost, promptPrice, completionPrice }: Pick<EndpointConfig, "maxCost" | "promptPrice" | "completionPrice">,
  context: { readonly addIssue: (issue: { code: "custom"; path: string[]; message: string }) => void },
): void {
  if (maxCost === undefined || promptPrice + completionPrice > 0) return;
  const message = "needs promptPrice or completionPrice: without prices nothing costs anything";
  context.addIssue({ code: "custom", path: ["maxCost"], message });
}

/** An endpoint that writes texts: `endpoint:` of a model in a recipe. */
export const textEndpointSchema = z
  .strictObject({
    ...endpointShape,
    timeoutMs: endpointShape.timeoutMs.unwrap().default(300_000).describe("time limit of one try"),
    route: z
      .enum(["chat", "completions"])
      .default("chat")
      .describe("chat: prompts go as messages; completions: as plain text to be continued, for base models"),
  })
  .superRefine(refineEndpoint);

export type TextEndpointConfig = z.output<typeof textEndpointSchema>;

/** What of an endpoint its answers are a function of. */
export function endpointIdentity(config: EndpointConfig & { readonly route?: string }): Record<string, unknown> {
  const { baseUrl, model, route } = config;
  return { baseUrl, model, ...(route !== undefined && { route }) };
}

/** What an endpoint is called in messages and lineages. */
export function endpointName({ baseUrl, model }: Pick<EndpointConfig, "baseUrl" | "model">): string {
  return `${model} at ${baseUrl}`;
}

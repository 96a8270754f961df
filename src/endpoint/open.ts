/** The client that a recipe's keys of an endpoint mean. */

import { homedir } from "node:os";
import { join } from "node:path";
import { EndpointClient } from "./client.ts";
import type { EndpointConfig } from "./options.ts";

/** The client that the keys mean. Throws ConfigError for an address that is none. */
export function openEndpoint(config: EndpointConfig): EndpointClient {
  const { baseUrl, model, apiKeyEnv, timeoutMs, attempts, concurrency, cacheDirectory } = config;
  const { maxTokens, maxCost, promptPrice, completionPrice } = config;
  return new EndpointClient({
    baseUrl,
    model,
    apiKeyEnv,
    timeoutMs,
    concurrency,
    retries: { attempts },
    ...(cacheDirectory !== false && { cacheDirectory: cacheDirectory ?? defaultCacheDirectory() }),
    limits: {
      promptPrice,
      completionPrice,
      ...(maxTokens !== undefined && { maxTokens }),
      ...(maxCost !== undefined && { maxCost }),
    },
  });
}

function defaultCacheDirectory(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "aha", "endpoint");
}

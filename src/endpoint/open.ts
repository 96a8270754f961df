/** The clients that a recipe's keys of an endpoint mean. */

import { cacheFolder } from "../files.ts";
import { EndpointClient } from "./client.ts";
import type { Endpoints } from "./endpoint.ts";
import type { ConnectionConfig, EndpointConfig } from "./options.ts";

/** The client that the keys mean. Throws ConfigError for an address that is none. */
export function openEndpoint(config: EndpointConfig): EndpointClient {
  const { cacheDirectory, maxTokens, maxCost, promptPrice, completionPrice } = config;
  return new EndpointClient({
    ...connectionOptions(config),
    ...(cacheDirectory !== false && { cacheDirectory: cacheDirectory ?? cacheFolder("endpoint") }),
    limits: {
      promptPrice,
      completionPrice,
      ...(maxTokens !== undefined && { maxTokens }),
      ...(maxCost !== undefined && { maxCost }),
    },
  });
}

/** A client that keeps no answers and has no limit on what they cost. Throws ConfigError for an address that is none. */
function openConnection(config: ConnectionConfig): EndpointClient {
  return new EndpointClient(connectionOptions(config));
}

/** Endpoints over the network, with answers kept on this disk. */
export const ENDPOINTS: Endpoints = { open: openEndpoint, connect: openConnection };

function connectionOptions({ attempts, baseUrl, model, apiKeyEnv, timeoutMs, concurrency }: ConnectionConfig) {
  return { baseUrl, model, apiKeyEnv, timeoutMs, concurrency, retries: { attempts } };
}

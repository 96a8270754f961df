/**
 * Where the Hub is, who asks, and where the cache lies: all from the environment, under the names that Hugging Face's
 * own libraries read, so that a machine that is set up for them is set up for Aha.
 *
 *     HF_TOKEN          the access token; from nowhere else, and it is never written or shown
 *     HF_ENDPOINT       the Hub's address (https://huggingface.co)
 *     HF_HUB_CACHE      the cache; else HF_HOME/hub, else XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub
 *     HF_HUB_OFFLINE    1, true, yes or on: nothing is asked of the network
 *
 * Departs from huggingface_hub: a token that `hf auth login` stored in a file is not read, and HTTPS_PROXY and similar
 * variables are left to Node: from version 24 on `fetch` follows them with NODE_USE_ENV_PROXY=1; older versions ignore
 * them.
 */

import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { ConfigError } from "../errors.ts";

/** How the Hub is reached. */
export interface HubSettings {
  /** Address without a slash at its end. */
  readonly endpoint: string;
  readonly token: string | undefined;
  /** The folder with `models--org--name` and `datasets--org--name`. */
  readonly cacheDirectory: string;
  /** Use the cache alone. */
  readonly offline: boolean;
  readonly timing: HubTiming;
}

/** How patient requests are, in milliseconds. */
export interface HubTiming {
  /** A connection that brings nothing for so long is given up, and another one is made. */
  readonly stallMs: number;
  /** Before the second attempt; doubled before each further one. */
  readonly backoffMs: number;
  /** The longest that a server may ask to wait. */
  readonly maxWaitMs: number;
}

type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_ENDPOINT = "https://huggingface.co";
const DEFAULT_TIMING: HubTiming = { stallMs: 30_000, backoffMs: 500, maxWaitMs: 300_000 };

/**
 * The settings that the environment gives; `offline` true adds to what it says.
 *
 * @throws ConfigError for an HF_ENDPOINT that is not a web address
 */
export function hubSettings(
  options: { readonly offline?: boolean; readonly timing?: HubTiming; readonly environment?: Environment } = {},
): HubSettings {
  const environment = options.environment ?? process.env;
  return {
    endpoint: endpointOf(environment),
    token: tokenOf(environment),
    cacheDirectory: cacheDirectoryOf(environment),
    offline: options.offline === true || isOn(environment.HF_HUB_OFFLINE) || isOn(environment.TRANSFORMERS_OFFLINE),
    timing: options.timing ?? DEFAULT_TIMING,
  };
}

function endpointOf(environment: Environment): string {
  const text = environment.HF_ENDPOINT?.trim();
  if (!text) return DEFAULT_ENDPOINT;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  const isWeb = url?.protocol === "https:" || url?.protocol === "http:";
  if (url?.username || url?.password) {
    throw new ConfigError("HF_ENDPOINT holds a user name or password: the Hub's token comes from HF_TOKEN alone.");
  }
  if (url === undefined || !isWeb || url.search !== "" || url.hash !== "") {
    // What stands before an @ may be a password.
    const shown = JSON.stringify(text.replace(/^.*@/s, "…@"));
    throw new ConfigError(`HF_ENDPOINT must be the address of a Hub, such as ${DEFAULT_ENDPOINT}, not ${shown}.`);
  }
  return url.href.replace(/\/+$/, "");
}

function tokenOf(environment: Environment): string | undefined {
  const token = (environment.HF_TOKEN ?? environment.HUGGING_FACE_HUB_TOKEN)?.trim();
  if (!token) return undefined;
  // A header holds visible ASCII only; the message must not show what was there.
  if (!/^[\x21-\x7e]+$/.test(token)) {
    throw new ConfigError("HF_TOKEN holds characters that no token has. Copy it again from the Hub's settings.");
  }
  return token;
}

function cacheDirectoryOf(environment: Environment): string {
  const cache = environment.HF_HUB_CACHE || environment.HUGGINGFACE_HUB_CACHE;
  if (cache) return resolve(expandHome(cache));
  const caches = environment.XDG_CACHE_HOME || join(homedir(), ".cache");
  return resolve(expandHome(join(environment.HF_HOME || join(caches, "huggingface"), "hub")));
}

function expandHome(path: string): string {
  return path === "~" || path.startsWith("~/") ? join(homedir(), path.slice(1)) : path;
}

function isOn(text: string | undefined): boolean {
  return text !== undefined && ["1", "ON", "YES", "TRUE"].includes(text.trim().toUpperCase());
}

/**
 * When a request that failed is tried again: after no answer, 408, 409, 429 and 5xx, doubling the wait each time, or
 * after as long as the server asks (`Retry-After`). A request that would fail again in the same way (a wrong key, an
 * unknown model) is not repeated.
 *
 * The spread that keeps many clients from returning at the same moment is drawn from the request, not from a clock.
 */

import { uniformAt } from "../random.ts";

export interface RetryPolicy {
  /** Tries in all, the first included. */
  readonly attempts: number;
  /** Wait after the first failure; doubles with each. */
  readonly firstWaitMs: number;
  /** No wait is longer; a server that asks for more is given up. */
  readonly maxWaitMs: number;
}

/** Three waits of about half a second, one and two. */
export const DEFAULT_RETRIES: RetryPolicy = { attempts: 4, firstWaitMs: 500, maxWaitMs: 30_000 };

/** Whether a status may be another one next time. */
export function isPassing(status: number): boolean {
  return status === 408 || status === 409 || status === 429 || status >= 500;
}

/**
 * The wait before the next try: `firstWaitMs` · 2^(failures − 1), between three quarters and the whole of it; what the
 * server asked for where that is longer. Undefined: not worth waiting for.
 */
export function waitMs(
  policy: RetryPolicy,
  failures: number,
  spread: number,
  askedMs: number | undefined,
): number | undefined {
  if (failures >= policy.attempts) return undefined;
  if (askedMs !== undefined && askedMs > policy.maxWaitMs) return undefined;
  const doubled = Math.min(policy.maxWaitMs, policy.firstWaitMs * 2 ** (failures - 1));
  const own = doubled * (0.75 + 0.25 * uniformAt(spread, 0, [failures]));
  return Math.max(own, askedMs ?? 0);
}

/** `Retry-After` in milliseconds: seconds or a date (RFC 9110 §10.2.3); undefined where it is neither. */
export function retryAfterMs(header: string | null, nowMs: number): number | undefined {
  if (header === null) return undefined;
  const text = header.trim();
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1000;
  const date = Date.parse(text);
  return Number.isNaN(date) ? undefined : Math.max(0, date - nowMs);
}

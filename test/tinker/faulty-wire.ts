/** A wire on which things go wrong. */

import type { Wire, WireRequest, WireResponse } from "../../src/engine/tinker/transport.ts";
import type { Random } from "../../src/random.ts";

const answer = (status: number, headers: Readonly<Record<string, string>> = {}): WireResponse => ({
  status,
  header: (name) => headers[name] ?? null,
  body: new TextEncoder().encode(JSON.stringify({ detail: `injected ${status}` })),
});

/** A wire on which things go wrong, `rate` of the time. */
export function faultyWire(
  wire: Wire,
  random: Random,
  rate: number,
): { readonly wire: Wire; readonly counts: Map<string, number> } {
  const counts = new Map<string, number>();
  const late: (() => Promise<unknown>)[] = [];
  const faults: Record<string, (request: WireRequest) => Promise<WireResponse>> = {
    "lost before it arrived": async () => {
      throw new TypeError("fetch failed");
    },
    "answer lost": async (request) => {
      await wire(request);
      throw new TypeError("terminated");
    },
    "429": async () => answer(429, random.uniform() < 0.5 ? { "retry-after": "2" } : {}),
    "408": async () => answer(408),
    "500": async () => answer(500),
    "503 after it was carried out": async (request) => {
      await wire(request);
      return answer(503);
    },
    "arrives twice": async (request) => {
      const [, second] = await Promise.all([wire(request), wire(request)]);
      return second;
    },
    "a copy comes late": async (request) => {
      late.push(() => wire(request));
      return wire(request);
    },
    "late, and the client heard nothing": async (request) => {
      late.push(() => wire(request));
      throw new TypeError("fetch failed");
    },
    "try again": async (request) =>
      request.path.endsWith("retrieve_future")
        ? { ...answer(200), body: new TextEncoder().encode('{"type":"try_again","queue_state":"paused_capacity"}') }
        : wire(request),
  };
  const names = Object.keys(faults);
  return {
    counts,
    wire: async (request) => {
      // Something that was held up arrives now.
      if (late.length > 0 && random.uniform() < 0.3)
        void late.splice(random.integer(late.length), 1)[0]!().catch(() => {});
      if (random.uniform() >= rate) return wire(request);
      const name = names[random.integer(names.length)]!;
      counts.set(name, (counts.get(name) ?? 0) + 1);
      return faults[name]!(request);
    },
  };
}

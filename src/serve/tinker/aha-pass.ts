/** A pass of Aha's own clients (`tinker/aha-extension.ts`): a loss by its spec, or a score, over data of the contract. */

import { z } from "zod";
import type { Datum, Policy } from "../../engine/contract/policy.ts";
import type { ScoreDatum, Scorer } from "../../engine/contract/sampler.ts";
import type { LossSpec } from "../../losses/loss-spec.ts";
import { AHA_COLUMNS } from "../../tinker/aha-extension.ts";
import { tensorNumbers, type WireDatum } from "../../tinker/messages.ts";
import type { LendScorer, PassResult } from "./pass.ts";
import { RequestFailure } from "./refusal.ts";
import { inputTokens } from "./training-data.ts";

/** A loss by its spec; what its numbers are the engine checks. */
const specSchema = z.looseObject({ name: z.string().max(100) });

/** Carries out a pass. Throws RequestFailure or EngineError. */
export async function ahaPass(
  policy: Policy,
  data: readonly WireDatum[],
  config: ReadonlyMap<string, number | string>,
  forwardOnly: boolean,
  scorers: LendScorer,
): Promise<PassResult> {
  const rows = data.map(datumOf);
  const spec = config.get("spec");
  if (spec === undefined || forwardOnly) {
    const sampler = config.get("sampler");
    const score = (scorer: Scorer) => scorer.score(rows, { temperature: Number(config.get("temperature") ?? 1) });
    return typeof sampler === "string" && sampler !== "" ? scorers(sampler, score) : score(policy);
  }
  return policy.forwardBackward(rows as Datum[], parseSpec(spec));
}

function parseSpec(text: string | number): LossSpec {
  try {
    return specSchema.parse(JSON.parse(String(text))) as LossSpec;
  } catch {
    throw new RequestFailure("The spec of the loss is no JSON of an object with a name.");
  }
}

/** The datum, whose model input is prompt and completion. */
function datumOf(wire: WireDatum, index: number): ScoreDatum & Partial<Datum> {
  const what = `Datum ${index}`;
  const tokens = inputTokens(wire.modelInput, what);
  const numbers = (name: string) => {
    const tensor = wire.lossFnInputs.get(name);
    return tensor && tensorNumbers(tensor, `${name} of ${what}`).values;
  };
  const promptLength = numbers("prompt_length")?.[0] ?? 1;
  if (!(Number.isInteger(promptLength) && promptLength >= 0 && promptLength <= tokens.length)) {
    throw new RequestFailure(`${what} has ${tokens.length} tokens and a prompt_length of ${promptLength}.`);
  }
  const columns = AHA_COLUMNS.flatMap(([name, onTheWire]) => {
    const values = numbers(onTheWire);
    return values ? [[name, Float32Array.from(values)] as const] : [];
  });
  const kept = numbers("kept_tokens");
  const targets = numbers("target_tokens");
  return {
    promptTokens: tokens.subarray(0, promptLength),
    completionTokens: tokens.subarray(promptLength),
    ...Object.fromEntries(columns),
    ...(targets && { targetTokens: Int32Array.from(targets) }),
    ...(kept && { keptTokens: setsOf(kept, numbers("kept_counts") ?? [], what) }),
  };
}

/** Sets that stand one after another. */
function setsOf(all: ArrayLike<number>, counts: ArrayLike<number>, what: string): Int32Array[] {
  const tokens = Int32Array.from(all);
  let place = 0;
  const sets = Array.from(counts, (count) => {
    if (!Number.isInteger(count) || count < 0 || place + count > tokens.length) {
      throw new RequestFailure(`${what}: kept_counts do not fit the kept_tokens.`);
    }
    place += count;
    return tokens.subarray(place - count, place);
  });
  if (place !== tokens.length) throw new RequestFailure(`${what}: kept_counts do not fit the kept_tokens.`);
  return sets;
}

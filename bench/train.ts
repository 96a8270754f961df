/** Forward, and forward + backward, of the next-token loss over `batch` random sequences of `length` tokens. */

import type { Datum } from "../src/engine/contract/policy.ts";
import { Random } from "../src/random.ts";
import { openEngine } from "./engine.ts";
import { median, peakMemoryMiB, seconds } from "./measure.ts";
import type { BenchOptions, Figures } from "./options.ts";

export async function benchTrain(options: BenchOptions): Promise<Figures> {
  const { batch, length, repeat, seed } = options;
  const engine = await openEngine(options);
  const random = new Random(seed, "bench/train");
  const token = () => 3 + random.integer(engine.info.vocabSize - 3);
  const weights = new Float32Array(length - 1).fill(1 / (batch * (length - 1)));
  // The first token alone is the prompt: every other one is predicted, as in the peer's loss.
  const data = Array.from({ length: batch }, (): Datum => {
    return { promptTokens: Int32Array.of(token()), completionTokens: Int32Array.from(weights, token), weights };
  });
  const forward: number[] = [];
  const both: number[] = [];
  for (let i = 0; i <= repeat; i++) {
    forward.push(await seconds(() => engine.score(data, { temperature: 1 })));
  }
  for (let i = 0; i <= repeat; i++) {
    both.push(await seconds(() => engine.forwardBackward(data, { name: "cross_entropy" })));
  }
  await engine.dispose();
  const rate = (times: readonly number[]) => (batch * length) / median(times.slice(1));
  return {
    bench: "train",
    forward_tokens_per_s: rate(forward),
    forward_backward_tokens_per_s: rate(both),
    peak_memory_mib: peakMemoryMiB(),
  };
}

/**
 * Aha beside its Python peers on one checkpoint: each program runs alone in a process of its own, in turn, `rounds`
 * times; the ratio is taken round by round, and its median printed, so a machine that slows down slows both.
 */

import { AhaError } from "../src/errors.ts";
import { hasPeers, measureApart, measurePeer, type NumbersByName } from "./apart.ts";
import { TRL_OPTIONS } from "./grpo.ts";
import { median } from "./measure.ts";
import type { BenchOptions, Figures } from "./options.ts";
import { measureTrlSft } from "./sft.ts";

/** What is compared: Aha's bench, what measures the peer, and the name that the figure has on either side. */
interface Comparison {
  readonly name: string;
  readonly peer: string;
  readonly measure: (options: BenchOptions) => Promise<NumbersByName>;
  readonly figure: string;
  readonly smallerIsBetter?: boolean;
}

const COMPARISONS: readonly Comparison[] = [
  {
    name: "grpo",
    peer: "TRL",
    measure: (options) => measurePeer("trl_grpo.py", options, TRL_OPTIONS),
    figure: "s_per_step",
    smallerIsBetter: true,
  },
  {
    name: "sft",
    peer: "TRL",
    measure: (options) => measureTrlSft(options, { packed: false }),
    figure: "tokens_per_s",
  },
  {
    name: "sft",
    peer: "TRL, packed",
    measure: (options) => measureTrlSft(options, { packed: true }),
    figure: "tokens_per_s",
  },
  {
    name: "sample",
    peer: "transformers",
    measure: (options) =>
      measurePeer("hf_generate.py", options, ["batch", "prompt", "tokens", "threads", "repeat", "lora"]),
    figure: "tokens_per_s",
  },
  {
    name: "train",
    peer: "PyTorch",
    measure: (options) => measurePeer("torch_step.py", options, ["batch", "length", "threads", "repeat", "lora"]),
    figure: "forward_backward_tokens_per_s",
  },
];

/** All comparisons, or those of these names. */
export async function benchPeers(options: BenchOptions, names: readonly string[] = []): Promise<Figures[]> {
  const unknown = names.find((name) => !COMPARISONS.some((comparison) => comparison.name === name));
  if (unknown !== undefined) {
    const known = [...new Set(COMPARISONS.map(({ name }) => name))];
    throw new AhaError(`peers compares ${known.join(", ")}, not ${unknown}`);
  }
  if (options.quantization !== "") throw new AhaError("the peers hold models in f32: peers takes no --quantization");
  await requirePeers(options.python, options.lora > 0);
  const rows: Figures[] = [];
  for (const { name, peer, measure, figure, smallerIsBetter = false } of COMPARISONS) {
    if (names.length > 0 && !names.includes(name)) continue;
    const ours: NumbersByName[] = [];
    const theirs: NumbersByName[] = [];
    for (let round = 0; round < options.rounds; round++) {
      ours.push(await measureApart(name, options));
      theirs.push(await measure(options));
    }
    const ratios = ours.map((own, i) => {
      const ratio = own[figure]! / theirs[i]![figure]!;
      return smallerIsBetter ? 1 / ratio : ratio;
    });
    const middle = (list: readonly NumbersByName[], of: string) => median(list.map((figures) => figures[of]!));
    rows.push({
      bench: name,
      figure,
      aha: middle(ours, figure),
      peer: `${peer} ${middle(theirs, figure).toPrecision(4)}`,
      times_as_fast: median(ratios),
      aha_peak_mib: middle(ours, "peak_memory_mib"),
      peer_peak_mib: middle(theirs, "peak_memory_mib"),
    });
  }
  return rows;
}

async function requirePeers(python: string, withAdapter: boolean): Promise<void> {
  if (await hasPeers(python, withAdapter ? ["peft"] : [])) return;
  const packages = `torch, transformers, trl, datasets and accelerate${withAdapter ? ", with --lora peft too" : ""}`;
  throw new AhaError(
    `the peers need a Python with ${packages}; ${python} has not all of them. ` +
      "Make one (python3 -m venv peers && peers/bin/pip install torch transformers trl datasets accelerate peft) and give it by --python",
  );
}

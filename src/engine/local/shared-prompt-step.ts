/** One decoding step over rows that share their prompts: the program of `shared-prompt-graph.ts` with its inputs bound. */

import type { Device, DeviceTensor } from "../../compute/device.ts";
import { HostInput } from "../../compute/host-memory.ts";
import type { PreparedCall, Program } from "../../compute/program.ts";
import { type Disposable, Scope } from "../../compute/scope.ts";
import { MASKED } from "./attention-mask.ts";
import type { SharedPrompts } from "./shared-prompts.ts";

/** What a step needs of the sampling program. */
interface SharedStepHost {
  readonly device: Device;
  readonly vocabSize: number;
  /** Weights and rotary tables, by the names of the program's inputs. */
  readonly constants: ReadonlyMap<string, DeviceTensor>;
  /** The program for so many rows. */
  readonly programFor: (rows: number) => Promise<Program>;
}

export class SharedPromptStep implements Disposable {
  readonly #host: SharedStepHost;
  readonly #rows: SharedPrompts;
  /** What steps of any number of rows read. */
  readonly #common: Scope;
  readonly #scope = new Scope();
  #bound: Bound | undefined;

  constructor(host: SharedStepHost, rows: SharedPrompts, common: Scope) {
    this.#host = host;
    this.#rows = rows;
    this.#common = common;
  }

  /** See `DecodeStep.run`. */
  async run(lastTokens: readonly number[], lengths: readonly number[]): Promise<DeviceTensor<"float32">> {
    const { promptOf, promptLengths } = this.#rows;
    const membership = membersOf(promptOf, promptLengths.length);
    const dims = [promptOf.length, promptLengths.length, Math.max(...membership.map(({ length }) => length))] as const;
    if (this.#bound === undefined || this.#bound.dims.some((size, i) => size !== dims[i])) await this.#bind(dims);
    const { inputs, call, logits } = this.#bound!;
    let longest = 0;
    lastTokens.forEach((token, row) => {
      const position = lengths[row]! - 1;
      const own = lengths[row]! - promptLengths[promptOf[row]!]!;
      inputs.ids.data[row] = BigInt(token);
      inputs.positions.data[row] = BigInt(position);
      inputs.lastPositions.data[row] = own - 1;
      longest = Math.max(longest, own);
    });
    inputs.totalLength.data[0] = longest;
    const [, , G] = dims;
    inputs.members.data.fill(0n);
    membership.forEach((rows, prompt) => {
      for (const [member, row] of rows.entries()) {
        inputs.members.data[prompt * G + member] = BigInt(row);
        inputs.places.data[row] = BigInt(prompt * G + member);
      }
    });
    const P = this.#rows.prompts.positions;
    for (const [prompt, length] of promptLengths.entries()) {
      inputs.promptBias.data
        .fill(0, prompt * P, prompt * P + length)
        .fill(MASKED, prompt * P + length, (prompt + 1) * P);
    }
    for (const input of Object.values(inputs)) input.upload();
    await call.run();
    return logits;
  }

  async #bind(dims: Bound["dims"]): Promise<void> {
    this.#bound = undefined;
    this.#scope.dispose();
    const [B, R, G] = dims;
    const { device, vocabSize, constants, programFor } = this.#host;
    const program = await programFor(B);
    const scope = this.#scope;
    const input = <D extends "int64" | "int32" | "float32">(dtype: D, shape: readonly number[]) =>
      scope.hold(new HostInput(device, dtype, shape));
    const inputs = {
      ids: input("int64", [B]),
      positions: input("int64", [B]),
      lastPositions: input("int32", [B]),
      totalLength: scope.hold(new HostInput(device, "int32", [], { onHost: true })),
      members: input("int64", [R, G]),
      places: input("int64", [B]),
      promptBias: input("float32", [R, this.#rows.prompts.positions]),
    };
    const own = this.#rows.own.bind(B, scope);
    const prompts = this.#rows.prompts.bind(R, scope).feeds;
    const logits = scope.hold(device.allocate("float32", [B, vocabSize]));
    const feeds = new Map<string, DeviceTensor>([
      ...constants,
      ...Object.entries(inputs).map(([name, { tensor }]) => [name, tensor] as const),
      ...own.feeds,
      ...[...prompts].map(([name, tensor]) => [promptInput(name), tensor] as const),
    ]);
    const call = scope.hold(program.prepare(feeds, new Map([...own.fetches, ["logits", logits]])));
    this.#bound = { dims, inputs, call, logits };
  }

  dispose(): void {
    this.#bound = undefined;
    this.#scope.dispose();
    this.#common.dispose();
  }
}

/** A call and what it reads and writes, for B sequences of R prompts with at most G each. */
interface Bound {
  readonly dims: readonly [B: number, R: number, G: number];
  readonly inputs: {
    readonly ids: HostInput<"int64">; // [B]
    readonly positions: HostInput<"int64">; // [B]
    readonly lastPositions: HostInput<"int32">; // [B]
    readonly totalLength: HostInput<"int32">; // []
    readonly members: HostInput<"int64">; // [R, G]
    readonly places: HostInput<"int64">; // [B]
    readonly promptBias: HostInput<"float32">; // [R, P]
  };
  readonly call: PreparedCall;
  readonly logits: DeviceTensor<"float32">; // [B, V]
}

/** The rows of each of R prompts. */
function membersOf(promptOf: readonly number[], R: number): number[][] {
  const members = Array.from({ length: R }, (): number[] => []);
  for (const [row, prompt] of promptOf.entries()) members[prompt]!.push(row);
  return members;
}

/** `keys.3` → `promptKeys.3` */
function promptInput(name: string): string {
  return `prompt${name[0]!.toUpperCase()}${name.slice(1)}`;
}

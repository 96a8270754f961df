/** Programs of one device by a key of their own, each compiled when it is first asked for. */

import type { Device } from "./device.ts";
import { compile, type Program, type ProgramGraph } from "./program.ts";
import type { Disposable } from "./scope.ts";

export class CompiledPrograms<Key> implements Disposable {
  readonly #device: Device;
  readonly #programs = new Map<Key, Promise<Program>>();

  constructor(device: Device) {
    this.#device = device;
  }

  /** The program of `key`; `graphOf` makes its graph, the first time. Two who ask at the same time get the same one. */
  get(key: Key, graphOf: () => ProgramGraph): Promise<Program> {
    let program = this.#programs.get(key);
    if (program === undefined) {
      const { graph, outputs } = graphOf();
      program = compile(this.#device, graph, outputs);
      this.#programs.set(key, program);
    }
    return program;
  }

  /** Releases the programs, once no call of them runs. */
  dispose(): void {
    for (const compiled of this.#programs.values()) {
      // One that could not be compiled has nothing to release; who asked for it was told.
      void compiled.then(
        (program) => program.dispose(),
        () => {},
      );
    }
    this.#programs.clear();
  }
}

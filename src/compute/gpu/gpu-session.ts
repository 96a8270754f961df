/** Programs on a GPU: how they are compiled, and why one is refused. */

import koffi from "koffi";
import { AhaError } from "../../errors.ts";
import type { LoweredGraph } from "../../graph/onnx.ts";
import type { DeviceTensor, Session } from "../device.ts";
import type { NativeEnvironment } from "../ort/environment.ts";
import { NativeNames, type Pointer, pointerArray } from "../ort/ort-api.ts";
import type { GpuQueue } from "./gpu-queue.ts";
import { GpuTensor, HostTensor } from "./gpu-tensor.ts";
import type { GpuProvider } from "./provider.ts";

const LOG_EVERYTHING = 0;

/** ONNX Runtime's words where a node has no kernel but the CPU's. */
const FELL_BACK = /fallback to CPU EP has been explicitly disabled/;

/**
 * Nodes that compute nothing and stand on the host while the body of a loop runs on the device: `Loop` itself, which
 * counts its rounds there, and the `Identity` of its condition.
 */
const DIRECTING = new Set(["Loop", "Identity"]);

/** A native session whose nodes are all on the device. Throws AhaError that names those that are not. */
export async function compileSession(
  environment: NativeEnvironment,
  provider: GpuProvider,
  { model, operations }: Pick<LoweredGraph, "model" | "operations">,
): Promise<Pointer> {
  const { api, handle } = environment;
  const mayDirect = operations.has("Loop");
  if (mayDirect) await requirePlaced(environment, provider, model);
  try {
    return await withOptions(environment, provider, (options) => {
      if (!mayDirect) api.call("AddSessionConfigEntry", options, "session.disable_cpu_ep_fallback", "1");
      return api.createAsync("CreateSessionFromArray", handle, model, model.length, options);
    });
  } catch (error) {
    if (error instanceof Error && FELL_BACK.test(error.message)) await requirePlaced(environment, provider, model);
    throw error;
  }
}

/**
 * Throws AhaError for nodes that are on the host. ONNX Runtime says in its log alone where a node is; the session that is
 * made to read it goes at once, because its log must not outlive what listens.
 */
async function requirePlaced(environment: NativeEnvironment, provider: GpuProvider, model: Uint8Array): Promise<void> {
  const lines: string[] = [];
  const log = koffi.register(
    (_: unknown, _severity: number, _category: string, _id: string, _place: string, message: string) => {
      lines.push(message);
    },
    koffi.pointer(LOGGER),
  );
  try {
    await withOptions(environment, provider, async (options) => {
      const { api, handle } = environment;
      api.call("SetUserLoggingFunction", options, log, null);
      api.call("SetSessionLogSeverityLevel", options, LOG_EVERYTHING);
      // In this thread, because the log is written from it.
      api.release("ReleaseSession", api.create("CreateSessionFromArray", handle, model, model.length, options));
    });
  } finally {
    koffi.unregister(log);
  }
  const fallen = nodesOnHost(lines).filter((type) => !DIRECTING.has(type));
  if (fallen.length === 0) return;
  const counted = [...new Set(fallen)].map((type) => {
    const count = fallen.filter((other) => other === type).length;
    return count === 1 ? type : `${count} × ${type}`;
  });
  throw new AhaError(
    `${provider.name} has no kernel for ${counted.join(", ")}: a program with these nodes would compute them on the ` +
      "processors, unseen and slowly, so it is refused. Compute this on another device (engine.device: cpu).",
  );
}

const LOGGER = koffi.proto(
  "void OrtLogger(void* parameter, int severity, const char* category, const char* id, const char* place, const char* message)",
);

/** Types of the nodes that the log of a session places on the host. */
export function nodesOnHost(lines: readonly string[]): string[] {
  const types: string[] = [];
  let isHost = false;
  for (const line of lines.flatMap((text) => text.split("\n"))) {
    const heading = /Node\(s\) placed on \[(\w+)\]/.exec(line) ?? /All nodes placed on \[(\w+)\]/.exec(line);
    if (heading) isHost = heading[1] === "CPUExecutionProvider";
    else if (isHost) {
      const node = /^\s*([A-Za-z0-9_]+)\s*\(/.exec(line);
      if (node) types.push(node[1]!);
    }
  }
  return types;
}

async function withOptions<T>(
  environment: NativeEnvironment,
  provider: GpuProvider,
  make: (options: Pointer) => Promise<T>,
): Promise<T> {
  const { api } = environment;
  const options = api.create("CreateSessionOptions");
  try {
    api.call("DisablePerSessionThreads", options);
    api.call("DisableMemPattern", options);
    provider.append(environment, options);
    return await make(options);
  } finally {
    api.release("ReleaseSessionOptions", options);
  }
}

/** A compiled program. */
export class GpuSession implements Session {
  readonly #queue: GpuQueue;
  readonly #session: Pointer;
  readonly #inputNames: NativeNames;
  readonly #outputNames: NativeNames;

  constructor(queue: GpuQueue, session: Pointer, { inputs, shapeInputs, outputs }: LoweredGraph) {
    this.#queue = queue;
    this.#session = session;
    this.#inputNames = new NativeNames([...inputs, ...shapeInputs].map(({ name }) => name));
    this.#outputNames = new NativeNames(outputs.map(({ name }) => name));
  }

  bind(inputs: readonly DeviceTensor[], outputs: readonly DeviceTensor[]): () => Promise<void> {
    const [read, written] = [inputs.map(boundTensor), outputs.map(boundTensor)];
    return async () => {
      if ([...read, ...written].some(({ isGone }) => isGone))
        throw new TypeError("A tensor of this run was disposed of.");
      this.#beforeRun(read, written);
      await this.#queue.inTurn(() => this.#run(read, written));
    };
  }

  /** In the calling thread, for work in the queue. */
  runNow(inputs: readonly GpuTensor[], outputs: readonly GpuTensor[]): void {
    this.#queue.traffic.runs++;
    this.#queue.environment.api.call("Run", ...this.#operands(inputs, outputs));
  }

  dispose(): void {
    this.#queue.enqueue(() => this.#queue.environment.api.release("ReleaseSession", this.#session));
  }

  #beforeRun(inputs: readonly BoundTensor[], outputs: readonly BoundTensor[]): void {
    for (const tensor of inputs) if (tensor instanceof GpuTensor) this.#queue.zeroUnlessWritten(tensor);
    for (const tensor of outputs) {
      if (!(tensor instanceof GpuTensor)) continue;
      // What a program writes whole need not be zeroed before.
      if (tensor.isPart) this.#queue.zeroUnlessWritten(tensor);
      else tensor.markWritten();
    }
  }

  async #run(inputs: readonly BoundTensor[], outputs: readonly BoundTensor[]): Promise<void> {
    this.#queue.traffic.runs++;
    await this.#queue.environment.api.callAsync("Run", ...this.#operands(inputs, outputs));
  }

  #operands(inputs: readonly BoundTensor[], outputs: readonly BoundTensor[]): unknown[] {
    const handles = (tensors: readonly BoundTensor[]) => pointerArray(tensors.map(({ handle }) => handle));
    const given = [this.#inputNames.pointers, handles(inputs), inputs.length];
    return [this.#session, null, ...given, this.#outputNames.pointers, outputs.length, handles(outputs)];
  }
}

type BoundTensor = GpuTensor | HostTensor;

function boundTensor(tensor: DeviceTensor): BoundTensor {
  if (tensor instanceof GpuTensor || tensor instanceof HostTensor) return tensor;
  throw new TypeError("This tensor is of another device.");
}

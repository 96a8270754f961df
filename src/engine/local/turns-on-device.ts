/**
 * A device that several models share. Their programs and kernels take turns on it, in the order in which they ask, so
 * that each model gets its share even if the others are busy.
 */

import type { Device, Kernels } from "../../compute/device.ts";
import { Turns } from "../turns.ts";

/** The same device, where one computation waits for another. */
export function takingTurns(device: Device): Device {
  const turns = new Turns();
  const { kernels } = device;
  const waiting: Kernels = {
    add: (...operands) => turns.take(() => kernels.add(...operands)),
    mix: (...operands) => turns.take(() => kernels.mix(...operands)),
    round: (...operands) => turns.take(() => kernels.round(...operands)),
    norm: (...operands) => turns.take(() => kernels.norm(...operands)),
    readAll: (...operands) => turns.take(() => kernels.readAll(...operands)),
    adamW: (...operands) => turns.take(() => kernels.adamW(...operands)),
    draw: (...operands) => turns.take(() => kernels.draw(...operands)),
  };
  return {
    name: device.name,
    target: device.target,
    kernels: waiting,
    allocate: (dtype, dims, use) => device.allocate(dtype, dims, use),
    ...(device.allocateOnHost && { allocateOnHost: (dtype, dims) => device.allocateOnHost!(dtype, dims) }),
    ...(device.requireHalf && { requireHalf: (dtype) => device.requireHalf!(dtype) }),
    view: (tensor, dims) => device.view(tensor, dims),
    hostMemory: (tensor) => device.hostMemory(tensor),
    upload: (tensor, values) => device.upload(tensor, values),
    download: (tensor, values) => device.download(tensor, values),
    copy: (copy) => device.copy(copy),
    load: async (lowered) => {
      const session = await device.load(lowered);
      return {
        bind: (inputs, outputs) => {
          const run = session.bind(inputs, outputs);
          return () => turns.take(run);
        },
        dispose: () => session.dispose(),
      };
    },
  };
}

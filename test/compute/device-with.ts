/** A device in which something is another one's. */

import type { Device } from "../../src/compute/device.ts";

/** `device`, with these members in the place of its own. */
export function deviceWith(device: Device, members: Partial<Device>): Device {
  return new Proxy(device, {
    get: (own, name) => {
      if (name in members) return Reflect.get(members, name);
      const value = Reflect.get(own, name, own) as unknown;
      return typeof value === "function" ? value.bind(own) : value;
    },
  });
}

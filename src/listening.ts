/** Why a server of ours cannot listen where it should, in a sentence that says what to do. */

import { ConfigError } from "./errors.ts";

/** The error for what the operating system said. */
export function cannotListen(host: string, port: number, { code, message }: NodeJS.ErrnoException): ConfigError {
  const where = `Cannot listen on ${host} port ${port}`;
  const other = "Choose another one with --port, or 0 for any that is free.";
  switch (code) {
    case "EADDRINUSE":
      return new ConfigError(`${where}: another program, perhaps another one of Aha, listens there. ${other}`);
    case "EACCES":
      return new ConfigError(`${where}: this user may not; ports below 1024 are the system's. ${other}`);
    case "EADDRNOTAVAIL":
      return new ConfigError(`${where}: this machine does not have that address. Choose another one with --host.`);
    default:
      return new ConfigError(`${where}: ${code ?? message}.`);
  }
}

/**
 * Loaded into a process before anything else (node --import), it makes the file system fail at a chosen moment:
 *
 *     AHA_FAULT="kill 17"               SIGKILL at the 17th change of the file system
 *     AHA_FAULT="kill 3 checkpoints/"   at the 3rd change of a file whose path has this text
 *     AHA_FAULT="full 40"               the disk is full from the 40th change on
 *     AHA_FAULT_COUNT=FILE              how many changes there were, written at the end
 *
 * A change is a write, a flush, a cut, a rename, a removal, a new folder or link. A write that is chosen is half done
 * when the process dies, or the disk is full: the other half is missing.
 */

import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";

const [mode, nth = "0", part = ""] = (process.env.AHA_FAULT ?? "").split(" ");
const chosen = Number(nth);
const paths = new Map();
let count = 0;

/** Whether this change is where the fault begins (or, of a full disk, after that). */
function isDue(path) {
  if (!String(path).includes(part)) return false;
  count++;
  return mode === "full" ? count >= chosen : count === chosen;
}

function diskFull(syscall) {
  const error = new Error(`ENOSPC: no space left on device, ${syscall}`);
  return Object.assign(error, { code: "ENOSPC", errno: -28, syscall });
}

/** Dies, or throws what a full disk does. */
function strike(syscall) {
  if (mode === "kill") process.kill(process.pid, "SIGKILL");
  // The signal may take a moment to arrive.
  if (mode === "kill") for (;;);
  throw diskFull(syscall);
}

/** On a full disk only what needs room fails. */
const needsRoom = (name) => !/^(rm|rmSync|rmdirSync|unlink|rename|renameSync|ftruncateSync|truncate)$/.test(name);

const half = (data) => (typeof data === "string" ? data.slice(0, data.length / 2) : data.subarray(0, data.length / 2));

const openSync = fs.openSync;
fs.openSync = (path, ...rest) => {
  const descriptor = openSync(path, ...rest);
  paths.set(descriptor, path);
  return descriptor;
};
const writeSync = fs.writeSync;
fs.writeSync = (descriptor, data, ...rest) => {
  if (descriptor > 2 && isDue(paths.get(descriptor))) {
    writeSync(descriptor, half(rest.length > 0 ? data.subarray(rest[0]) : data));
    strike("write");
  }
  return writeSync(descriptor, data, ...rest);
};
for (const name of ["fsyncSync", "ftruncateSync"]) {
  const real = fs[name];
  fs[name] = (descriptor, ...rest) => {
    if (isDue(paths.get(descriptor)) && (mode === "kill" || needsRoom(name))) strike(name);
    return real(descriptor, ...rest);
  };
}
for (const name of ["renameSync", "rmSync", "rmdirSync", "mkdirSync", "linkSync"]) {
  const real = fs[name];
  fs[name] = (path, ...rest) => {
    if (isDue(path) && (mode === "kill" || needsRoom(name))) strike(name);
    return real(path, ...rest);
  };
}
const writeFileSync = fs.writeFileSync;
fs.writeFileSync = (path, data, ...rest) => {
  if (typeof path === "string" && isDue(path)) {
    writeFileSync(path, half(data), ...rest);
    strike("write");
  }
  return writeFileSync(path, data, ...rest);
};

for (const name of ["rename", "rm", "mkdir"]) {
  const real = fs.promises[name];
  fs.promises[name] = async (path, ...rest) => {
    if (isDue(path) && (mode === "kill" || needsRoom(name))) strike(name);
    return real(path, ...rest);
  };
}
const open = fs.promises.open;
fs.promises.open = async (path, ...rest) => {
  const handle = await open(path, ...rest);
  for (const name of ["write", "writeFile", "appendFile", "sync"]) {
    const real = handle[name].bind(handle);
    handle[name] = async (data, ...more) => {
      if (isDue(path)) {
        if (name === "write") await real(half(data));
        else if (name !== "sync") await real(half(data));
        strike(name);
      }
      return real(data, ...more);
    };
  }
  return handle;
};
syncBuiltinESMExports();

if (process.env.AHA_FAULT_COUNT !== undefined) {
  process.on("exit", () => writeFileSync(process.env.AHA_FAULT_COUNT, String(count)));
}

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../..");

/** Names and limits of the parts, and their sum, as the script prints them. */
function planOf(devices: string) {
  const text = execFileSync("bash", ["bench/gpu.sh", "--plan"], {
    ...{ cwd: ROOT, encoding: "utf8", env: { ...process.env, AHA_GPU_DEVICES: devices } },
  });
  const lines = text.trimEnd().split("\n");
  const parts = lines.slice(0, -1).map((line) => line.split(" "));
  return { names: parts.map(([, name]) => name!), sum: Number(lines.at(-1)!.split(" ")[0]), parts };
}

describe.skipIf(process.platform === "win32")("bench/gpu.sh", () => {
  it.each(["cuda webgpu", "webgpu cuda", "cuda", "webgpu"])(
    "on %s has limits of at most ten minutes in all",
    (devices) => {
      const { names, sum, parts } = planOf(devices);
      expect(sum).toBe(parts.reduce((total, [limit]) => total + Number(limit), 0));
      expect(sum).toBeLessThan(600);
      const [first] = devices.split(" ");
      for (const part of [
        "decode-FIRST-3b-64",
        "decode-FIRST-3b-192",
        "train-FIRST-3b",
        "step-FIRST-3b",
        "peer-3b",
        "peer-step-3b",
      ]) {
        expect(names).toContain(part.replace("FIRST", first!));
      }
      for (const device of devices.split(" ")) expect(names).toContain(`conformance-${device}`);
    },
  );

  it.each([
    [["float32", "float16"], "float16"],
    [undefined, "float32"],
  ])("measures WebGPU whose driver has %j in %s", (dtypes, expected) => {
    const root = mkdtempSync(join(tmpdir(), "aha-gpu-script-"));
    try {
      // In npx's place: what the doctor says, and of everything else what it was asked for.
      const answer = JSON.stringify({ devices: [{ device: "webgpu", found: dtypes !== undefined, dtypes }] });
      const npx = `#!/bin/sh\ncase "$*" in *doctor*) echo '${answer}' ;; *) echo "$*" ;; esac\n`;
      writeFileSync(join(root, "npx"), npx, { mode: 0o755 });
      const env = { ...process.env, PATH: `${root}:${process.env.PATH}`, PYTHON: "false", AHA_GPU_DEVICES: "webgpu" };
      execFileSync("bash", ["bench/gpu.sh", join(root, "out")], { cwd: ROOT, env });
      for (const part of ["decode-webgpu-0.5b-64", "train-webgpu-3b", "step-webgpu-3b"]) {
        expect(readFileSync(join(root, "out", `${part}.log`), "utf8"), part).toContain(`--dtype ${expected} `);
      }
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });
});

/** A download by the built program that is killed: what is left behind, and what the next one does with it. */

import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { sha256 } from "./hub-repository.ts";
import { HubServer } from "./hub-server.ts";

const PROGRAM = join(import.meta.dirname, "../../dist/cli/main.js");
const WEIGHTS = Buffer.from(Array.from({ length: 400_000 }, (_, i) => (i * 7) ^ (i >> 8)));

let hub: HubServer;
let root: string;
beforeEach(async () => {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: run npm run build first (npm test does).`);
  hub = await HubServer.start();
  root = mkdtempSync(join(tmpdir(), "aha-hub-process-"));
});
afterEach(async () => {
  await hub.close();
  rmSync(root, { recursive: true, force: true });
});

function pull() {
  const env = { ...process.env, HF_ENDPOINT: hub.endpoint, HF_HOME: root, HF_HUB_CACHE: "", HF_TOKEN: "" };
  const child = spawn(process.execPath, [PROGRAM, "model", "pull", "org/tiny"], {
    env,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let stdout = "";
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  const ended = new Promise<{ code: number | null; stdout: string }>((resolve) => {
    child.on("close", (code) => resolve({ code, stdout }));
  });
  return { child, ended };
}

describe("aha model pull, killed in the middle of a file", () => {
  it("leaves no file that looks whole, and the next one asks for the rest alone", async () => {
    hub.put("org/tiny", { "config.json": "{}", "model.safetensors": WEIGHTS });
    const first = pull();
    hub.inject((request, response, content) => {
      if (request.server !== "files") return false;
      response.writeHead(200, { "content-length": content!.length });
      response.write(content!.subarray(0, 131_072));
      setTimeout(() => first.child.kill("SIGKILL"), 300);
      return true;
    });
    await first.ended;
    const blobs = join(root, "hub/models--org--tiny/blobs");
    expect(existsSync(join(blobs, sha256(WEIGHTS)))).toBe(false);
    expect(readdirSync(blobs).some((name) => name.startsWith(sha256(WEIGHTS)) && name.endsWith(".incomplete"))).toBe(
      true,
    );
    expect(existsSync(join(root, "hub/models--org--tiny/refs"))).toBe(false);

    hub.requests.length = 0;
    const { code, stdout } = await pull().ended;
    expect(code).toBe(0);
    expect(readFileSync(join(stdout.trim(), "model.safetensors")).equals(WEIGHTS)).toBe(true);
    const ranges = hub.requests.filter(({ server }) => server === "files").map(({ range }) => range);
    expect(ranges).toEqual(["bytes=131072-"]);
    expect(readdirSync(blobs).filter((name) => name.endsWith(".incomplete"))).toEqual([]);
  });
});

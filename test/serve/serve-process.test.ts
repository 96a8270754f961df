/** The built program as a process that serves: signals, and what it prints. */

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { randomModel } from "../eval/models.ts";

const PROGRAM = join(import.meta.dirname, "../../dist/cli/main.js");

let directory: string;
beforeAll(async () => {
  if (!existsSync(PROGRAM)) throw new Error(`${PROGRAM} is missing: run npm run build first (npm test does).`);
  directory = await randomModel("characters", 300);
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** The process, and the first line that it prints. */
async function started(...args: string[]): Promise<{ child: ChildProcess; line: string; closed: Promise<unknown[]> }> {
  const child = spawn(process.execPath, [PROGRAM, "serve", directory, "--port", "0", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const closed = once(child, "close");
  let text = "";
  for await (const chunk of child.stdout!) {
    text += chunk;
    if (text.includes("\n")) break;
  }
  return { child, line: text.split("\n")[0]!, closed };
}

it.each(["SIGINT", "SIGTERM"] as const)("aha serve answers until %s, and ends with exit code 0", async (signal) => {
  const { child, line, closed } = await started("--json");
  const { url, model } = JSON.parse(line);
  const running = fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ model, prompt: "a", max_tokens: 60, n: 4, ignore_eos: true, stream: true }),
  });
  const response = await running;
  child.kill(signal);
  expect(await response.text()).toMatch(/\[DONE\]\s*$/);
  expect(await closed).toEqual([0, null]);
});

it("aha serve tells a person where it is", async () => {
  const { child, line, closed } = await started("--name", "mine");
  expect(line).toMatch(/^Serving mine at http:\/\/127\.0\.0\.1:\d+ .*\/v1\)/);
  child.kill("SIGTERM");
  await closed;
});

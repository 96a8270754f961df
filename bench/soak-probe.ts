/**
 * What one honest client sees while others do what they like (`soak.ts` starts it as a process of its own): a stream that
 * is read token by token, again and again, and a question to /health every few milliseconds. Prints one JSON line when
 * its time is over: gaps between tokens and times of answers, in milliseconds.
 *
 *     tsx bench/soak-probe.ts URL MODEL SECONDS
 */

import { setTimeout as sleep } from "node:timers/promises";

const [url, model, seconds] = process.argv.slice(2) as [string, string, string];
const end = performance.now() + Number(seconds) * 1000;
const gaps: number[] = [];
const health: number[] = [];
const failures: string[] = [];

await Promise.all([streams(), questions()]);
console.log(JSON.stringify({ gaps, health, failures }));

async function streams(): Promise<void> {
  while (performance.now() < end) {
    const body = { model, prompt: "Once upon a time", max_tokens: 400, ignore_eos: true, stream: true };
    const response = await fetch(`${url}/v1/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (response.status === 429) {
      await response.text();
      await sleep(20);
      continue;
    }
    let last: number | undefined;
    let text = "";
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
      const now = performance.now();
      if (last !== undefined) gaps.push(now - last);
      last = now;
      text = (text + chunk).slice(-100);
      if (now > end) return;
    }
    if (!text.includes("[DONE]")) failures.push(`a stream ended with ${JSON.stringify(text)}`);
  }
}

async function questions(): Promise<void> {
  while (performance.now() < end) {
    const asked = performance.now();
    const response = await fetch(`${url}/health`);
    await response.text();
    health.push(performance.now() - asked);
    if (response.status !== 200) failures.push(`/health answered ${response.status}`);
    await sleep(10);
  }
}

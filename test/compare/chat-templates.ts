/**
 * `npm run compare:templates -- FOLDER`: the chat templates below a folder, rendered by transformers in Python and by Aha,
 * over conversations of every shape. A template is a file `*.jinja` or `*.j2`, or a `chat_template` anywhere in a JSON
 * file. Equal is: the same text, or refused by both. What Aha refuses by name, because it lacks something of Jinja, is
 * counted apart. Ends with code 1 where anything else differs.
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { CheckpointError, DataError } from "../../src/errors.ts";
import { ChatTemplates } from "../../src/tokenizer/chat-template.ts";
import { filePathsBelow, readCommandLine, runPython } from "./collect-files.ts";
import { type RenderingCase, renderingCases } from "./conversations.ts";

const NOON = new Date(2024, 6, 26, 12);
const SPECIAL = { bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>", pad_token: "<pad>" };
/** Templates go to Python in parts: what it prints is held in memory. */
const TEMPLATES_AT_ONCE = 50;
const SHOWN = 40;

const { folder, python } = readCommandLine("compare:templates", ["transformers", "jinja2"]);
const templates = await findTemplates(folder);
if (templates.size === 0) {
  console.error(`There is no chat template below ${folder}: no *.jinja, no *.j2, no chat_template in a JSON file.`);
  process.exit(2);
}
const cases = renderingCases();
const counts = { equal: 0, refusedByBoth: 0, refusedByName: 0, different: 0 };
const reasons = new Map<string, number>();
let shown = 0;

for (let start = 0; start < templates.size; start += TEMPLATES_AT_ONCE) {
  const part = Object.fromEntries([...templates].slice(start, start + TEMPLATES_AT_ONCE));
  const printed = runPython(python, new URL("render_chat_templates.py", import.meta.url), {
    templates: part,
    cases,
    special: SPECIAL,
  });
  const compiled = new Map<string, ChatTemplates>();
  for (const line of printed.trimEnd().split("\n")) {
    const expected = JSON.parse(line) as { template: string; case: number; text?: string; error?: string };
    let own = compiled.get(expected.template);
    if (own === undefined) {
      own = new ChatTemplates(new Map([["default", part[expected.template]!]]), SPECIAL);
      compiled.set(expected.template, own);
    }
    compareRendering(expected, render(own, cases[expected.case]!));
  }
}

const total = Object.values(counts).reduce((sum, count) => sum + count, 0);
console.log(
  `${templates.size} templates, ${total} renderings: ${counts.equal} equal, ${counts.refusedByBoth} refused by both, ` +
    `${counts.refusedByName} refused here by name, ${counts.different} different`,
);
for (const [reason, count] of reasons) console.log(`  refused by name, ${count} times: ${reason}`);
process.exitCode = counts.different === 0 ? 0 : 1;

type Rendering = { readonly text: string } | { readonly refusal: string } | { readonly lacking: string };

function render(own: ChatTemplates, one: RenderingCase): Rendering {
  try {
    const { messages, ...options } = one;
    return { text: own.render(messages as never, { ...options, now: NOON }) };
  } catch (error) {
    if (error instanceof CheckpointError && error.message.includes("that Aha does not have")) {
      return { lacking: error.message };
    }
    if (error instanceof DataError || error instanceof CheckpointError) return { refusal: error.message };
    throw error;
  }
}

function compareRendering(
  expected: { template: string; case: number; text?: string; error?: string },
  own: Rendering,
): void {
  if ("lacking" in own) {
    counts.refusedByName++;
    reasons.set(own.lacking, (reasons.get(own.lacking) ?? 0) + 1);
  } else if ("text" in own && own.text === expected.text) counts.equal++;
  else if ("refusal" in own && expected.error !== undefined) counts.refusedByBoth++;
  else {
    counts.different++;
    if (shown++ < SHOWN) showDifference(expected, own);
  }
}

function showDifference(
  expected: { template: string; case: number; text?: string; error?: string },
  own: Rendering,
): void {
  const theirs = expected.text ?? expected.error ?? "";
  const ours = "text" in own ? own.text : "refusal" in own ? own.refusal : own.lacking;
  let at = 0;
  if (expected.text !== undefined && "text" in own) while (theirs[at] === ours[at]) at++;
  const part = (text: string): string => JSON.stringify(text.slice(Math.max(0, at - 40), at + 120));
  console.log(
    `${expected.template}, case ${expected.case}:\n  transformers ${part(theirs)}\n  here         ${part(ours)}`,
  );
}

async function findTemplates(path: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const name of await filePathsBelow(path, (file) => /\.(?:jinja2?|j2|json)$/.test(file))) {
    const text = await readFile(join(path, name), "utf8");
    if (!name.endsWith(".json")) found.set(name, text);
    else if (text.includes('"chat_template"')) addTemplatesOf(JSON.parse(text), name, found);
  }
  return found;
}

/** Each `chat_template` in a JSON value: a text, or a list of named ones. */
function addTemplatesOf(value: unknown, name: string, found: Map<string, string>): void {
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    const path = `${name}:${key}`;
    if (key === "chat_template" && typeof inner === "string") found.set(path, inner);
    else if (key === "chat_template" && Array.isArray(inner)) {
      for (const one of inner) if (typeof one?.template === "string") found.set(`${path}:${one.name}`, one.template);
    } else addTemplatesOf(inner, path, found);
  }
}

/**
 * `npm run test:editor`: what an editor makes of the schemas of recipes. It installs the YAML language server, which is
 * behind VS Code, Neovim, Emacs and others, in a folder of its own and speaks LSP with it: no recipe of the repository is
 * marked, a wrong key is, keys are explained under the cursor and completed, those of the trainer or task at hand too.
 *
 * Not part of `npm test`: it needs the npm registry once. Ends with code 1 where anything differs.
 */

import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const VERSION = "1.25.0";
const root = fileURLToPath(new URL("../..", import.meta.url));
const npm = process.platform === "win32" ? "npm.cmd" : "npm";

interface Diagnostic {
  readonly message: string;
  readonly range: { readonly start: { readonly line: number } };
}

interface Completion {
  readonly label: string;
}

/** A language server on its standard streams: messages with a header of their length. */
class LanguageServer {
  readonly #child;
  #rest = Buffer.alloc(0);
  #next = 0;
  readonly #answers = new Map<number, (result: unknown) => void>();
  readonly #diagnostics = new Map<string, (diagnostics: readonly Diagnostic[]) => void>();

  constructor(program: string) {
    this.#child = spawn(process.execPath, [program, "--stdio"], { stdio: ["pipe", "pipe", "inherit"] });
    this.#child.stdout.on("data", (chunk: Buffer) => this.#read(chunk));
  }

  #read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (;;) {
      const end = this.#rest.indexOf("\r\n\r\n");
      const length = Number(/Content-Length: (\d+)/.exec(this.#rest.toString("latin1", 0, end))?.[1]);
      if (end < 0 || this.#rest.length < end + 4 + length) return;
      const text = this.#rest.toString("utf8", end + 4, end + 4 + length);
      this.#rest = this.#rest.subarray(end + 4 + length);
      this.#message(JSON.parse(text));
    }
  }

  #message({ id, method, params, result }: { id?: number; method?: string; params?: never; result?: unknown }): void {
    if (method === "textDocument/publishDiagnostics") {
      const { uri, diagnostics } = params as unknown as { uri: string; diagnostics: readonly Diagnostic[] };
      this.#diagnostics.get(uri)?.(diagnostics);
    } else if (method !== undefined && id !== undefined) {
      // The server asks for settings; it has none but its defaults.
      const items = (params as unknown as { items?: readonly unknown[] } | undefined)?.items ?? [];
      this.#send({ id, result: items.map(() => null) });
    } else if (id !== undefined) {
      this.#answers.get(id)?.(result);
    }
  }

  #send(message: object): void {
    const text = JSON.stringify({ jsonrpc: "2.0", ...message });
    this.#child.stdin.write(`Content-Length: ${Buffer.byteLength(text)}\r\n\r\n${text}`);
  }

  ask<T>(method: string, params: object): Promise<T> {
    const id = this.#next++;
    return new Promise((resolve) => {
      this.#answers.set(id, (result) => resolve(result as T));
      this.#send({ id, method, params });
    });
  }

  tell(method: string, params: object): void {
    this.#send({ method, params });
  }

  /** Opens a document; what the server finds wrong with it. */
  open(uri: string, text: string): Promise<readonly Diagnostic[]> {
    return new Promise((resolve) => {
      this.#diagnostics.set(uri, resolve);
      this.tell("textDocument/didOpen", { textDocument: { uri, languageId: "yaml", version: 1, text } });
    });
  }

  close(): void {
    this.#child.kill();
  }
}

let [passed, failed] = [0, 0];

function check(name: string, holds: boolean, seen: unknown): void {
  if (holds) passed++;
  else failed++;
  console.log(holds ? `ok    ${name}` : `FAIL  ${name}: ${JSON.stringify(seen)}`);
}

const folder = mkdtempSync(join(tmpdir(), "aha-editor-"));
try {
  const packages = [`yaml-language-server@${VERSION}`];
  execFileSync(npm, ["install", "--prefix", folder, "--no-audit", "--no-fund", "--ignore-scripts", ...packages]);
  const server = new LanguageServer(join(folder, "node_modules/yaml-language-server/bin/yaml-language-server"));
  try {
    await checkAll(server);
  } finally {
    server.close();
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;

async function checkAll(server: LanguageServer): Promise<void> {
  await server.ask("initialize", { processId: process.pid, rootUri: null, capabilities: {} });
  server.tell("initialized", {});
  const recipes = readdirSync(join(root, "recipes"), { recursive: true, encoding: "utf8" });
  for (const file of recipes.filter((path) => path.endsWith(".yaml")).sort()) {
    const path = join(root, "recipes", file);
    const found = await server.open(pathToFileURL(path).href, readFileSync(path, "utf8"));
    check(`recipes/${file} is not marked`, found.length === 0, found);
  }

  /** Opens the lines as a file of that kind; `█` is the cursor. */
  let documents = 0;
  const open = async (kind: string, lines: readonly string[]) => {
    const text = [`# yaml-language-server: $schema=./schema/${kind}.schema.json`, ...lines].join("\n");
    const at = text.indexOf("█");
    const before = text.slice(0, Math.max(at, 0)).split("\n");
    const uri = pathToFileURL(join(root, `editor-${documents++}.yaml`)).href;
    const position = { line: before.length - 1, character: before.at(-1)!.length };
    const diagnostics = await server.open(uri, text.replace("█", ""));
    return { diagnostics, where: { textDocument: { uri }, position } };
  };
  const messages = async (kind: string, lines: readonly string[]) =>
    (await open(kind, lines)).diagnostics.map(({ message }) => message);
  const completed = async (kind: string, lines: readonly string[]) => {
    const { where } = await open(kind, lines);
    const list = await server.ask<{ readonly items: readonly Completion[] }>("textDocument/completion", where);
    return list.items.map(({ label }) => label);
  };
  const explained = async (kind: string, lines: readonly string[]) => {
    const { where } = await open(kind, lines);
    const hover = await server.ask<{ contents: { value: string } } | null>("textDocument/hover", where);
    return hover?.contents.value ?? "";
  };

  const top = ["name: x", "model: { path: ./m }", "task: { name: math }"];
  const grpo = [...top, "trainer: grpo", "iterations: 3", "learningRate: 1e-4", "rewards: [{ name: accuracy }]"];
  const wrong = await messages("recipe", [...grpo, "groupsize: 4"]);
  check(
    "a wrong key is marked",
    wrong.some((text) => text.includes("groupsize")),
    wrong,
  );
  const value = await messages("recipe", [...grpo, "groupSize: four"]);
  check("a wrong type is marked", value.length > 0, value);
  const missing = await messages("recipe", top.slice(1));
  check(
    "a missing key is marked",
    missing.some((text) => text.includes("name")),
    missing,
  );

  const keys = await completed("recipe", [...grpo, "█"]);
  check("keys of the trainer are completed", keys.includes("groupSize") && !keys.includes("batchTokens"), keys);
  check("keys of recipes are completed", keys.includes("evaluation"), keys);
  const none = await completed("recipe", ["█"]);
  check(
    "an empty file is offered a trainer, stages, a task",
    ["trainer", "stages", "task"].every((key) => none.includes(key)),
    none,
  );
  const tasks = await completed("recipe", ["name: x", "task:", "  name: █"]);
  check("tasks are completed", tasks.includes("countdown") && tasks.includes("math"), tasks);
  const taskKeys = await completed("recipe", ["name: x", "task:", "  name: countdown", "  █"]);
  check("keys of the task are completed", taskKeys.includes("counts") && !taskKeys.includes("kinds"), taskKeys);
  const trainers = await completed("recipe", [...top, "trainer: █"]);
  check("trainers are completed", trainers.includes("grpo") && trainers.includes("sft"), trainers);
  const rewards = await completed("recipe", [...grpo.slice(0, -1), "rewards:", "  - name: █"]);
  check("rewards are completed", rewards.includes("accuracy") && rewards.includes("format"), rewards);
  const options = await completed("recipe", [
    ...grpo.slice(0, -1),
    "rewards:",
    "  - name: equation",
    "    options:",
    "      █",
  ]);
  check("options of a reward are completed", options.includes("wrongScore"), options);
  const staged = ["stages:", "  - name: a", "    trainer: sft", "    █"];
  const stageKeys = await completed("recipe", [...top, ...staged]);
  check(
    "keys of a stage are completed",
    stageKeys.includes("batchTokens") && !stageKeys.includes("groupSize"),
    stageKeys,
  );
  const hover = await explained("recipe", [...grpo, "groupSi█ze: 4"]);
  check("a key is explained", /completions/i.test(hover), hover);
  const stages = await completed("pipeline", ["name: p", "pipeline:", "  - name: a", "    █"]);
  check("data steps are completed", stages.includes("coldStart") && stages.includes("train"), stages);
  const over = await completed("pipeline", [
    "name: p",
    "pipeline:",
    "  - name: a",
    "    train: ./a.yaml",
    "    with:",
    "      █",
  ]);
  check("keys of a stage's with are completed", over.includes("learningRate") && over.includes("model"), over);
}

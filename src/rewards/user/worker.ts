/**
 * The thread in which a user's reward runs: loads the file, then judges what it is sent. It reports when it calls the
 * judge and when that returns, so that the training thread, which measures the time, knows which judgement is late.
 */

import { register } from "node:module";
import { pathToFileURL } from "node:url";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { nearestName } from "../../errors.ts";
import { abstention, checkedResult, errorText } from "../judge.ts";
import type { RewardInput } from "../reward.ts";
import type { BatchDefinition, RewardMemory, SingleDefinition } from "./definition.ts";
import type { JudgeRequest, ThreadMessage, ThreadSetup } from "./messages.ts";

/** Asynchronous judgements under way at once. */
const CONCURRENCY = 16;
/** Most bytes of a reward's state: it is written into every checkpoint's manifest. */
const MAX_STATE_BYTES = 2 ** 20;

/** The keys of a definition. */
const KEYS = ["judge", "judgeBatch", "saveState", "loadState"];

type Options = ThreadSetup["options"];
type Definition = (SingleDefinition<Options> | BatchDefinition<Options>) & RewardMemory;

if (parentPort) await serve(parentPort, workerData as ThreadSetup);

async function serve(port: MessagePort, setup: ThreadSetup): Promise<void> {
  const post = (message: ThreadMessage) => port.postMessage(message);
  let definition: Definition;
  try {
    definition = await load(setup);
    if (setup.state !== undefined) definition.loadState?.(JSON.parse(setup.state));
  } catch (error) {
    post({ type: "refused", reason: errorText(error) });
    return;
  }
  port.on("message", (request: JudgeRequest) => void answer(definition, request.inputs, setup.options, post));
  post({ type: "ready" });
}

/** Judges every input, then tells the state. */
async function answer(
  definition: Definition,
  inputs: readonly RewardInput[],
  options: Options,
  post: (message: ThreadMessage) => void,
): Promise<void> {
  if ("judgeBatch" in definition) await judgeTogether(definition, inputs, options, post);
  else await judgeEach(definition, inputs, options, post);
  try {
    post({ type: "done", state: savedState(definition) });
  } catch (error) {
    post({ type: "done", stateFault: errorText(error) });
  }
}

async function judgeEach(
  { judge }: SingleDefinition<Options>,
  inputs: readonly RewardInput[],
  options: Options,
  post: (message: ThreadMessage) => void,
): Promise<void> {
  const underWay = new Set<Promise<void>>();
  for (const [index, input] of inputs.entries()) {
    while (underWay.size >= CONCURRENCY) await Promise.race(underWay);
    post({ type: "started", indices: [index] });
    try {
      const returned = judge(input, options);
      if (returned instanceof Promise) {
        post({ type: "waiting", indices: [index] });
        const finished: Promise<void> = returned
          .then(checkedResult, (error: unknown) => abstention(`threw: ${errorText(error)}`))
          .then((result) => {
            post({ type: "judged", index, result });
            underWay.delete(finished);
          });
        underWay.add(finished);
      } else {
        post({ type: "judged", index, result: checkedResult(returned) });
      }
    } catch (error) {
      post({ type: "judged", index, result: abstention(`threw: ${errorText(error)}`) });
    }
  }
  await Promise.all(underWay);
}

async function judgeTogether(
  { judgeBatch }: BatchDefinition<Options>,
  inputs: readonly RewardInput[],
  options: Options,
  post: (message: ThreadMessage) => void,
): Promise<void> {
  const indices = [...inputs.keys()];
  post({ type: "started", indices });
  let fault: string;
  try {
    const returned = judgeBatch(inputs, options);
    if (returned instanceof Promise) post({ type: "waiting", indices });
    const results: unknown = await returned;
    if (Array.isArray(results) && results.length === inputs.length) {
      for (const index of indices) post({ type: "judged", index, result: checkedResult(results[index]) });
      return;
    }
    const found = Array.isArray(results) ? `${results.length} judgements` : "no list of judgements";
    fault = `returned ${found} for ${inputs.length} completions`;
  } catch (error) {
    fault = `threw: ${errorText(error)}`;
  }
  for (const index of indices) post({ type: "judged", index, result: abstention(fault) });
}

/** What the reward wants to be kept, as JSON text. Throws for what JSON or a checkpoint cannot hold. */
function savedState({ saveState }: Definition): string | undefined {
  const text: string | undefined = saveState && JSON.stringify(saveState());
  if (text !== undefined && Buffer.byteLength(text) > MAX_STATE_BYTES) {
    throw new RangeError(`saveState returned ${Buffer.byteLength(text)} bytes; at most ${MAX_STATE_BYTES} are kept`);
  }
  return text;
}

/** The reward that the setup names. Throws whatever is wrong with the file. */
async function load({ file, exportName, typeScriptLoader, ahaAddress }: ThreadSetup): Promise<Definition> {
  const hooks = (source: string) => register(`data:text/javascript,${encodeURIComponent(source)}`);
  hooks(ahaResolver(ahaAddress));
  if (typeScriptLoader !== undefined) {
    const loader = (await import(typeScriptLoader)) as { register: () => unknown };
    loader.register();
  }
  // Registered last, so asked first: it sees what the loader of TypeScript makes of a file.
  hooks(moduleFormat());
  const module = (await import(pathToFileURL(file).href)) as Record<string, unknown>;
  const found = module[exportName];
  if (typeof found === "function") return { judge: found as SingleDefinition<Options>["judge"] };
  if (typeof found === "object" && found !== null) {
    const { judge, judgeBatch } = found as { judge?: unknown; judgeBatch?: unknown };
    if ((typeof judge === "function") !== (typeof judgeBatch === "function")) {
      refuseMisspelt(found, exportName);
      return found as Definition;
    }
  }
  if (typeof found === "object" && found !== null) throw new TypeError(`its export ${exportName} ${faultOf(found)}`);
  if (found !== undefined) {
    throw new TypeError(
      `its export ${exportName} is ${found === null ? "null" : `a ${typeof found}`}, neither a function nor made with defineReward`,
    );
  }
  const names = Object.keys(module);
  const nearest = nearestName(exportName, names);
  const hint = nearest === undefined ? "" : `; did you mean ${nearest}?`;
  throw new TypeError(`it has no export ${exportName}, only ${names.join(", ") || "none at all"}${hint}`);
}

/** A misspelt key of a definition would be ignored silently, e.g. `saveState`, so it is refused. */
function refuseMisspelt(definition: object, exportName: string): void {
  for (const key of Object.keys(definition)) {
    const near = KEYS.includes(key) ? undefined : nearestName(key, KEYS);
    if (near === undefined) continue;
    throw new TypeError(`its export ${exportName} has the key ${JSON.stringify(key)}; did you mean ${near}?`);
  }
}

/** What is wrong with an object that is no definition, e.g. `defineReward({ score: … })`. */
function faultOf(found: object): string {
  const { judge, judgeBatch } = found as { judge?: unknown; judgeBatch?: unknown };
  if (typeof judge === "function" && typeof judgeBatch === "function") {
    return "has both judge and judgeBatch; expected one of them";
  }
  for (const [key, value] of Object.entries({ judge, judgeBatch })) {
    if (value !== undefined && typeof value !== "function") return `has a ${key} that is no function`;
  }
  const unknown = Object.keys(found).filter((key) => !KEYS.includes(key));
  const shown = unknown.slice(0, 3).map((key) => JSON.stringify(key));
  const keys =
    unknown.length === 0 ? "has neither" : `has the key ${shown.join(", ")}, which a reward does not have, and neither`;
  return `${keys} judge nor judgeBatch: expected defineReward({ judge: … }), which judges one completion, or judgeBatch, which judges all`;
}

/** Module hooks (as source text) that give a reward the Aha that runs it, wherever its file lies. */
function ahaResolver(address: string): string {
  return `export function resolve(specifier, context, next) {
    return specifier === "aha-rl" ? { url: ${JSON.stringify(address)}, shortCircuit: true } : next(specifier, context);
  }`;
}

/**
 * Module hooks (as source text) that read a file with `import` or `export` as the ES module it is, also where no
 * package.json says so.
 */
function moduleFormat(): string {
  return `import { readFileSync } from "node:fs";
  import { fileURLToPath } from "node:url";
  export async function resolve(specifier, context, next) {
    const found = await next(specifier, context);
    const file = found.url.split("?")[0];
    if (found.format !== "commonjs" || !/^file:.*\\.[jt]s$/.test(file) || file.includes("/node_modules/")) return found;
    const isModule = /^\\s*(import|export)\\b/m.test(readFileSync(fileURLToPath(file), "utf8"));
    return isModule ? { ...found, format: "module" } : found;
  }`;
}

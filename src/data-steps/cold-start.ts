/**
 * Cold-start data: stage 2 of R1 (arXiv:2501.12948 §2.3.1), a small data set of long chains of thought that people can
 * read, to begin reinforcement learning from. The paper names three ways to get such data, and each is a method here:
 *
 *     few-shot   worked examples with long thinking stand before the prompt
 *     direct     the model is asked for a detailed answer with reflection and verification
 *     refine     R1-Zero's own outputs in a readable form, cleaned by rules
 *
 * All three sample, judge and filter alike; they differ in what the model is given and in what is made of its answer.
 * In the paper people post-process the outputs of `refine`: here rules do, with a model behind an endpoint between them
 * where the recipe names one (`refiner`), and a completion that they cannot bring into the form is dropped. A row has
 * the task's own prompt: additions that helped the model to write the completion are not part of the data.
 */

import { join } from "node:path";
import { z } from "zod";
import { endpointIdentity } from "../endpoint/options.ts";
import { engines } from "../engine/open.ts";
import { ConfigError } from "../errors.ts";
import { endsInsideThink, findAnswer, thinkingOf, withPromptedThink } from "../expression/answer.ts";
import { refusal } from "../findings.ts";
import { hashString, philox } from "../random.ts";
import { cachedBy } from "../registry.ts";
import { tasks } from "../tasks/registry.ts";
import type { Problem, Task } from "../tasks/task.ts";
import type { Message } from "../tokenizer/tokenizer.ts";
import { collectCandidates, type Refine, type SamplingParts } from "./candidates.ts";
import { PARTS_FOLDER, refineWriter, samplingShape } from "./config.ts";
import { DEFAULT_REFINER_INSTRUCTION, openRefiningModel, type RefiningModel, refinerSchema } from "./refining-model.ts";
import { writeSampledDataset } from "./sampled-dataset.ts";
import { samplingFindings } from "./sampling-findings.ts";
import { sampledWork, samplingIdentity, samplingPaths } from "./sampling-step.ts";
import { type DataStepOutcome, defineDataStep } from "./step.ts";
import { type DataStepContext, type OpenedSource, withSource } from "./step-context.ts";

/** What asks for reflection where the recipe does not say it itself. */
const DEFAULT_INSTRUCTION =
  "Think step by step, and in detail, before you answer. Reflect on each step, verify the result against what was asked, " +
  "and where it does not hold go back and try another way.";

/** The form of R1-Zero's answers; `<think>` comes before it where the prompt does not end with it. */
const DEFAULT_TEMPLATE = "{thinking}</think>\n<answer>{answer}</answer>";

const DEFAULT_EXAMPLES = 2;
const DEFAULT_SEPARATOR = "\n\n";

/** The keys. */
export const coldStartSchema = cachedBy([tasks, engines], () =>
  z
    .strictObject({
      method: z.enum(["few-shot", "direct", "refine"]).describe("how long chains of thought are made"),
      examples: z.int().min(1).optional().describe("few-shot: demonstrations of the task before each prompt (2)"),
      separator: z.string().optional().describe("few-shot: what stands between them (two line feeds)"),
      instruction: z.string().min(1).optional().describe("direct: what asks for reflection and verification"),
      template: z
        .string()
        .min(1)
        .optional()
        .describe("refine: the form of a refined completion, of {thinking}, {summary} and {answer}"),
      refiner: refinerSchema
        .optional()
        .describe("refine: a model that rewrites what the rules let through; none if absent"),
      ...samplingShape(),
    })
    .superRefine(refineWriter)
    .superRefine(({ method, ...given }, context) => {
      const owners = {
        examples: "few-shot",
        separator: "few-shot",
        instruction: "direct",
        template: "refine",
        refiner: "refine",
      } as const;
      for (const [key, owner] of Object.entries(owners)) {
        if (given[key as keyof typeof owners] === undefined || owner === method) continue;
        context.addIssue({ code: "custom", path: [key], message: `goes with method ${owner}, not with ${method}` });
      }
    }),
);

type ColdStartConfig = z.infer<ReturnType<typeof coldStartSchema>>;

/** The step, as a pipeline sees it. */
export const coldStart = defineDataStep({
  name: "coldStart",
  schema: coldStartSchema,
  paths: samplingPaths,
  identity: (config) => {
    const { refiner } = config;
    const refined = refiner && { refiner: { ...refiner, endpoint: endpointIdentity(refiner.endpoint) } };
    return { ...samplingIdentity(config), ...refined };
  },
  sampled: sampledWork,
  findings: (config, known) => {
    const found = samplingFindings(config, known);
    const { task } = known;
    if (config.method !== "few-shot" || task === undefined || task.demonstrate !== undefined) return found;
    return [...found, refusal("task", `method few-shot: the task ${task.name} has no demonstrations to show`)];
  },
  run: makeColdStartData,
});

/**
 * Samples, refines, filters and writes; finished parts are not made again.
 *
 * @throws AhaError for what cannot be used; DataError where nothing is left; RunInterrupted
 */
async function makeColdStartData(config: ColdStartConfig, context: DataStepContext): Promise<DataStepOutcome> {
  const parts = join(context.directory, PARTS_FOLDER);
  const about = await withSource(config, context, async (opened) => {
    const { source, name } = opened;
    const task = await opened.taskFor(config.task, config.seed);
    const refiner = config.refiner && (await openRefiningModel(config.refiner, context.directory));
    await collectCandidates(config, {
      ...context,
      source,
      task,
      askFor: await asking(config, task, opened),
      refine: config.method === "refine" ? refining(config, task, refiner) : undefined,
      directory: parts,
    });
    const by = { ...source.lineage(), ...refiner?.lineage() };
    const how = { method: config.method, prompting: promptingOf(config) };
    return { ...how, model: name, ...by, samples: config.samples, inputs: context.inputs ?? {} };
  });
  return writeSampledDataset(config, { step: coldStart.name, parts, directory: context.directory, about });
}

/** What the lineage says of the prompts, every default written out: the texts that the configuration leaves unsaid too. */
function promptingOf(config: ColdStartConfig): Readonly<Record<string, unknown>> {
  switch (config.method) {
    case "few-shot":
      return { examples: config.examples ?? DEFAULT_EXAMPLES, separator: config.separator ?? DEFAULT_SEPARATOR };
    case "direct":
      return { instruction: config.instruction ?? DEFAULT_INSTRUCTION };
    case "refine": {
      const refinerInstruction = config.refiner && (config.refiner.instruction ?? DEFAULT_REFINER_INSTRUCTION);
      return { template: config.template ?? DEFAULT_TEMPLATE, ...(refinerInstruction && { refinerInstruction }) };
    }
  }
}

/** The text that the model is given for a problem. */
async function asking(
  config: ColdStartConfig,
  task: Task,
  opened: Pick<OpenedSource, "taskFor">,
): Promise<NonNullable<SamplingParts["askFor"]>> {
  switch (config.method) {
    case "few-shot": {
      const examples = workedExamples(config, task);
      const separator = config.separator ?? DEFAULT_SEPARATOR;
      return ({ prompt }) => [...examples, prompt].join(separator);
    }
    case "direct":
      return askingDirectly(config, task, opened);
    case "refine":
      return ({ prompt }) => prompt;
  }
}

/** Demonstrations of problems that come after those that are asked, so that no prompt contains its own answer. */
function workedExamples({ examples = DEFAULT_EXAMPLES, firstPrompt, prompts, seed }: ColdStartConfig, task: Task) {
  if (task.demonstrate === undefined) {
    throw new ConfigError(
      `coldStart.method few-shot: the task ${task.name} has no demonstrations to show. Use direct or refine.`,
    );
  }
  const first = firstPrompt + prompts;
  return Array.from({ length: examples }, (_, i) => {
    const problem = task.trainProblem(first + i);
    const demonstration = task.demonstrate!(problem, philox(seed, hashString("few-shot"), [i])[0]);
    return problem.prompt + demonstration.completion;
  });
}

/** The instruction as the conversation's system message; before the prompt, where that is no conversation. */
async function askingDirectly(
  { task: spec, seed, instruction = DEFAULT_INSTRUCTION }: ColdStartConfig,
  task: Task,
  { taskFor }: Pick<OpenedSource, "taskFor">,
): Promise<NonNullable<SamplingParts["askFor"]>> {
  const instructed = await taskFor(spec, seed, (messages) => withInstruction(messages, instruction));
  const isConversation = instructed.trainProblem(0).prompt !== task.trainProblem(0).prompt;
  if (!isConversation) return ({ prompt }) => `${instruction}\n\n${prompt}`;
  return (_, promptId) => instructed.trainProblem(promptId).prompt;
}

function withInstruction([first, ...rest]: readonly Message[], instruction: string): readonly Message[] {
  if (first?.role === "system" && typeof first.content === "string") {
    return [{ ...first, content: `${first.content}\n\n${instruction}` }, ...rest];
  }
  return [{ role: "system", content: instruction }, ...(first === undefined ? [] : [first]), ...rest];
}

/** Rewrites completions by the rules; by the refining model between them, where there is one. */
function refining(config: ColdStartConfig, task: Task, refiner: RefiningModel | undefined): Refine {
  const byRules = rewriting(config.template ?? DEFAULT_TEMPLATE);
  const wantsSolved = config.keep.some(({ verdict }) => verdict === "solved");
  return async (completions, signal) => {
    const texts = completions.map(({ problem, completion }) => byRules(problem, completion));
    if (refiner === undefined) return texts;
    const sent = texts.flatMap((text, i) => {
      if (typeof text !== "string") return [];
      // A wrong answer stays wrong when it is refined, so it is not sent to the refiner; the filter drops it.
      return wantsSolved && !task.judge(completions[i]!.problem, text).solved ? [] : [i];
    });
    const whole = (i: number) => withPromptedThink(completions[i]!.problem.prompt, texts[i] as string);
    const asked = sent.map((i) => ({ prompt: completions[i]!.problem.prompt, completion: whole(i) }));
    const refined = asked.length === 0 ? [] : await refiner.refine(asked, signal);
    return texts.map((text, i) => {
      const at = sent.indexOf(i);
      if (at < 0) return text;
      const answer = refined[at]!;
      return typeof answer === "string" ? byRules(completions[i]!.problem, answer) : { ...answer, isLost: true };
    });
  };
}

/** Rewrites a completion by the template, or says what it lacks. */
function rewriting(template: string) {
  return ({ prompt }: Problem, completion: string): string | { readonly fault: string } => {
    const thinking = tidy(thinkingOf(completion).replace(/^\s*<think>/, ""));
    const close = completion.indexOf("</think>");
    const said = close < 0 ? completion : completion.slice(close + "</think>".length);
    const answer = findAnswer(said);
    if (thinking === "") return { fault: "there is no thinking" };
    if (template.includes("{answer}") && "fault" in answer) return { fault: answer.fault };
    const summary = tidy(said.replace(/<\/?[a-z_]+>/gi, " "));
    if (template.includes("{summary}") && summary === "") return { fault: "nothing follows the thinking" };
    const values: Readonly<Record<string, string>> = {
      thinking,
      summary,
      answer: "fault" in answer ? "" : answer.text,
    };
    const text = template.replace(/\{(thinking|summary|answer)\}/g, (_, name: string) => values[name]!);
    return endsInsideThink(prompt) ? text : `<think>${text}`;
  };
}

/** Lines trimmed at their ends, blank ones left out. */
function tidy(text: string): string {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .join("\n");
}

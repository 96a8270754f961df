/**
 * The README.md of a pushed model that has none: the header that the Hub's pages and searches read, what the model is,
 * how it came to be where that is known, and how to use it.
 */

/** What a card can tell. */
export interface ModelCardFacts {
  /** `org/name` of the repository. */
  readonly name: string;
  /** An adapter of another model, which alone is no model. */
  readonly isAdapter: boolean;
  /** `org/name` of the model that it was trained from. */
  readonly baseModel: string | undefined;
  /** The run that made it. */
  readonly training: TrainingFacts | undefined;
}

/** How a model was trained. */
export interface TrainingFacts {
  readonly recipe: string;
  readonly question: string;
  readonly seed: number;
  readonly stages: readonly { readonly name: string; readonly trainer: string; readonly steps: number }[];
  /** Share of held-out problems solved, sampled at temperature 1, at the start of the run and at its end. */
  readonly solveRate: { readonly start: number; readonly end: number } | undefined;
}

/** The card as Markdown with its YAML header. */
export function modelCard(facts: ModelCardFacts): string {
  const { name, isAdapter, baseModel, training } = facts;
  const trainers = [...new Set(training?.stages.map(({ trainer }) => trainer) ?? [])];
  const header = [
    "---",
    `library_name: ${isAdapter ? "peft" : "transformers"}`,
    "pipeline_tag: text-generation",
    ...(baseModel === undefined ? [] : [`base_model: ${baseModel}`]),
    "tags:",
    ...["aha", "reasoning", ...trainers].map((tag) => `- ${tag}`),
    "---",
  ];
  const title = name.slice(name.indexOf("/") + 1);
  return `${[...header, "", `# ${title}`, "", ...origin(facts), "", ...usage(facts)].join("\n")}\n`;
}

function origin({ isAdapter, baseModel, training }: ModelCardFacts): string[] {
  const kind = isAdapter ? "A LoRA adapter" : "A language model";
  const from = baseModel === undefined ? "" : ` from [${baseModel}](https://huggingface.co/${baseModel})`;
  const lines = [`${kind}, trained${from} with Aha, which trains models to reason the way DeepSeek-R1 was trained.`];
  if (training === undefined) return lines;
  lines.push("", "## Training", "");
  if (training.question !== "") lines.push(oneLine(training.question), "");
  lines.push(`Recipe \`${training.recipe}\`, seed ${training.seed}:`, "");
  lines.push(...training.stages.map(({ name, trainer, steps }) => `- ${name}: ${trainer}, ${steps} steps`));
  if (training.solveRate !== undefined) {
    const { start, end } = training.solveRate;
    lines.push("", "| held-out problems solved | |", "| --- | --- |");
    lines.push(`| before training | ${inPercent(start)} |`, `| after training | ${inPercent(end)} |`);
  }
  return lines;
}

function usage({ name, isAdapter, baseModel }: ModelCardFacts): string[] {
  const load = isAdapter
    ? ["from peft import AutoPeftModelForCausalLM", "", `model = AutoPeftModelForCausalLM.from_pretrained("${name}")`]
    : [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        `model = AutoModelForCausalLM.from_pretrained("${name}")`,
        `tokenizer = AutoTokenizer.from_pretrained("${name}")`,
      ];
  const python = ["```python", ...load, "```"];
  if (isAdapter) return ["## Use", "", ...(baseModel === undefined ? ["With its base model:", ""] : []), ...python];
  return ["## Use", "", "```sh", `aha chat ${name}`, "```", "", ...python];
}

/** A text of a recipe as one paragraph: its lines must not become headings or tables here. */
function oneLine(text: string): string {
  return text
    .replace(/\s+/g, " ")
    .replace(/[<>|]/g, (sign) => `\\${sign}`)
    .trim();
}

function inPercent(share: number): string {
  return `${(share * 100).toFixed(1)} %`;
}

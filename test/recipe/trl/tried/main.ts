/**
 * `npm run trl:recipes -- DIR…`: every YAML file below the folders, or each file, tried as a TRL recipe (`try-recipe.ts`),
 * with the report that `aha run --trl` prints. What is refused by name is no failure; a key that nothing is said of, and
 * a run that does not come to its second step, are. Ends with code 1 where there is one.
 *
 *     --convert-only   no runs
 *     --brief          a line for each file instead of its report
 *     --set KEY=VALUE, --trainer NAME   as for aha run --trl, for all files
 *
 * The files of others are no part of the repository: fetch open-r1, the Alignment Handbook or TRL, and give their folders.
 */

import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { trlText } from "../../../../src/cli/trl-text.ts";
import { writeStandInModel } from "./stand-ins.ts";
import { type TriedRecipe, tryRecipe } from "./try-recipe.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    "convert-only": { type: "boolean" },
    brief: { type: "boolean" },
    set: { type: "string", multiple: true },
    trainer: { type: "string" },
  },
});

if (positionals.length === 0) {
  console.error("Usage: npm run trl:recipes -- DIR… [--convert-only] [--brief] [--set KEY=VALUE]… [--trainer NAME]");
  process.exit(2);
}

const root = mkdtempSync(join(tmpdir(), "aha-trl-recipes-"));
const counts: Record<TriedRecipe["outcome"], number> = { ran: 0, converted: 0, refused: 0, other: 0, failed: 0 };
try {
  const model = join(root, "model");
  await writeStandInModel(model);
  for (const path of positionals.flatMap(yamlFiles)) {
    const { set: overrides = [], trainer } = values;
    const tried = await tryRecipe(
      { path, text: readFileSync(path, "utf8") },
      { model, overrides, trainer, runs: values["convert-only"] !== true },
    );
    counts[tried.outcome]++;
    tell(path, tried);
  }
} finally {
  rmSync(root, { recursive: true, force: true });
}
const words = Object.entries(counts).flatMap(([outcome, count]) => (count > 0 ? [`${count} ${outcome}`] : []));
console.log(words.join(", "));
process.exitCode = counts.failed > 0 ? 1 : 0;

function tell(path: string, tried: TriedRecipe): void {
  if (!values.brief && "conversion" in tried && tried.conversion) console.log(trlText(path, tried.conversion));
  const why = "why" in tried ? `: ${tried.why.replaceAll("\n", "\n    ")}` : "";
  const what = tried.outcome === "ran" ? " two steps" : "";
  console.log(`${tried.outcome}${what}  ${path}${why}${values.brief ? "" : "\n"}`);
}

/** The file itself, or those below a folder, sorted. */
function yamlFiles(path: string): string[] {
  if (!statSync(path).isDirectory()) return [path];
  const names = readdirSync(path, { recursive: true, encoding: "utf8" });
  return names
    .filter((name) => /\.ya?ml$/.test(name))
    .sort()
    .map((name) => join(path, name));
}

/**
 * A teacher: a model that says how probable it finds tokens which another one has written (`Scorer`). It is in this process,
 * on a server where an engine has its models, or behind an endpoint (`endpoint-teacher.ts`); a trainer does not know which.
 *
 * Student and teacher must read the same tokens: log-probabilities of the same id under two different vocabularies
 * cannot be compared. So tokenizers are compared id by id before anything is trained.
 */

import type { Scorer } from "../../engine/contract/sampler.ts";
import { computeFor, openSampler, readsWeights } from "../../engine/open.ts";
import { ConfigError } from "../../errors.ts";
import { readTokenizer } from "../../tokenizer/huggingface.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import type { SupportingCompute } from "../context.ts";
import type { TeacherSpec } from "./config.ts";
import { openEndpointTeacher } from "./endpoint-teacher.ts";

/** How a teacher in this process is computed, or reached. */
export type TeacherOptions = Omit<SupportingCompute, "openUserReward">;

/**
 * The teacher of a recipe, ready to score what a student with `tokenizer` writes. The caller disposes of it.
 *
 * @throws ConfigError for another tokenizer, an endpoint that cannot score, or what a server does not have; CheckpointError for
 * a damaged model; EngineError for a server that cannot be asked.
 */
export async function openTeacher(
  spec: TeacherSpec,
  tokenizer: Tokenizer,
  { compute, engine: engineSpec, endpoints, modelDirectory }: TeacherOptions,
): Promise<Scorer> {
  if (spec.path === undefined) return openEndpointTeacher(spec.endpoint!, tokenizer, endpoints);
  const path = (await modelDirectory?.(spec.path)) ?? spec.path;
  requireSameTokenizer(tokenizer, await readTokenizer(compute.folderAt(path)), path);
  const own = spec.engine ?? engineSpec;
  const engine = await openSampler(own, { path, samples: false }, computeFor(own, compute));
  return {
    // Messages are about the model, not about what computes it; of one that is elsewhere its engine names it.
    info: { ...engine.info, name: readsWeights(own) ? path : engine.info.name },
    capabilities: engine.capabilities,
    score: (data, scoring) => engine.score(data, scoring),
    dispose: () => engine.dispose(),
  };
}

/** A text whose tokens differ wherever merges, digits, spaces or scripts are treated otherwise. */
const PROBE_TEXT = "<think>\nLet me check: 12 * 345 = 4140, hence x² ≤ 7.\n\n\tそうです — naïve façade.</think> ok";

/** Throws ConfigError unless both tokenizers have the same tokens under the same ids. */
export function requireSameTokenizer(student: Tokenizer, teacher: Tokenizer, where: string): void {
  const refuse = (difference: string): never => {
    throw new ConfigError(
      `teacher: ${where} has another tokenizer than the student (${difference}), so its log-probabilities are of other ` +
        "texts. Take a teacher of the same family, or distil off policy: SFT on the teacher's texts.",
    );
  };
  if (student.vocabSize !== teacher.vocabSize) refuse(`${teacher.vocabSize} tokens, not ${student.vocabSize}`);
  const keepSpecial = { keepSpecial: true };
  for (let id = 0; id < student.vocabSize; id++) {
    const [own, other] = [student.decode([id], keepSpecial), teacher.decode([id], keepSpecial)];
    if (own !== other) refuse(`token ${id} is ${JSON.stringify(other)}, not ${JSON.stringify(own)}`);
  }
  if (student.encode(PROBE_TEXT).join() !== teacher.encode(PROBE_TEXT).join()) refuse("it cuts texts in other places");
}

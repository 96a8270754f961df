/** Teachers on Node. */

import type { Scorer } from "../../engine/contract/sampler.ts";
import type { Tokenizer } from "../../tokenizer/tokenizer.ts";
import { NODE_REACH } from "../on-node.ts";
import type { TeacherSpec } from "./config.ts";
import * as teacher from "./teacher.ts";

/** `openTeacher` of `teacher.ts`, with what Node reaches. Throws ConfigError and CheckpointError likewise. */
export function openTeacher(spec: TeacherSpec, tokenizer: Tokenizer, options: teacher.TeacherOptions): Promise<Scorer> {
  return teacher.openTeacher(spec, tokenizer, { ...NODE_REACH, ...options });
}

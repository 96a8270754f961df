/**
 * `npm run schemas`: writes schema/*.schema.json, which editors read as recipes and pipelines are typed. They are made of
 * the zod schemas that check a recipe; a test says when they are behind.
 */

import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { writeWhole } from "../src/files.ts";
import { jsonSchemas } from "../src/pipeline/json-schema.ts";

const folder = fileURLToPath(new URL("../schema", import.meta.url));

await mkdir(folder, { recursive: true });
for (const [name, schema] of Object.entries(jsonSchemas())) {
  await writeWhole(join(folder, `${name}.schema.json`), `${JSON.stringify(schema, undefined, 1)}\n`);
}

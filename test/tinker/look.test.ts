/** What `aha doctor` finds about the key of a server. */

import { expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { lookAtTinker } from "../../src/engine/tinker/look-at-tinker.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { modelValues, writeModel } from "../engine/models.ts";
import { PlacesServer } from "./places.ts";
import { quickClock } from "./random-training.ts";
import { TINY } from "./tinker-server.ts";

it.each([
  ["none", undefined, ["engine-key"]],
  ["one of spaces alone, which is not sent", " ", ["engine-key"]],
  ["one", " tml-key ", []],
])("with a server elsewhere and %s", async (_, TINKER_API_KEY, ids) => {
  const clock = quickClock();
  const spec = { url: "http://tinker.test", baseModel: "base", rank: undefined, profile: "skyrl", patienceSeconds: 60 };
  const lora = { rank: 2, alpha: 32, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };
  const source = { path: await writeModel(TINY, modelValues(TINY)), lora };
  const surroundings = { wire: new PlacesServer(4, clock).wire(), clock, environment: { TINKER_API_KEY } };
  const { findings } = await lookAtTinker(spec, source, diskFolder, surroundings);
  expect(findings.map(({ id }) => id)).toEqual(ids);
});

import { describe, expect, it } from "vitest";
import { diskFolder } from "../../src/disk-folder.ts";
import { conformanceChecks } from "../../src/engine/conformance.ts";
import { openTinkerPolicy } from "../../src/engine/tinker/open-tinker.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { emptyDirectory } from "../engine/models.ts";
import { startTinker } from "./tinker-server.ts";

const server = await startTinker({ limits: { mostModels: 64 } });

const LORA = { rank: 3, alpha: 5, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };

const opener = (profile: string) => () =>
  openTinkerPolicy(
    { url: server.url, baseModel: "tiny", profile, patienceSeconds: 20, rank: undefined },
    { path: server.model, lora: profile === "aha" ? LORA : { ...LORA, alpha: 32 }, adapterSeed: 3 },
    diskFolder,
  );

for (const profile of ["aha", "hosted"]) {
  const open = opener(profile);
  const engine = await open();
  const promises = conformanceChecks(engine.capabilities).map((check) => [check.name, check] as const);
  await engine.dispose();

  describe(`Aha's client with the profile ${profile}, on Aha's server`, () => {
    it.each(promises)("%s", async (_promise, check) => {
      await check.run({ open, emptyDirectory });
      expect(server.defects).toEqual([]);
    });
  });
}

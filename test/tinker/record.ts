/**
 * `npm run record:tinker -- PROFILE URL BASE_MODEL DIRECTORY SERVER`: runs the scenario on a server and writes what went over the
 * wire to test/golden/tinker/PROFILE.json. DIRECTORY is the base's, SERVER says in words what answers (with the word "toy" where
 * its numbers mean nothing; with the word "made" where Aha's server is asked, and its answers are made those of PROFILE). Of servers without seeds, and with ids of their own, each recording is another one.
 */

import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { diskFolder } from "../../src/disk-folder.ts";
import { openTinkerPolicy } from "../../src/engine/tinker/open-tinker.ts";
import { fetchWire } from "../../src/engine/tinker/transport.ts";
import { ALL_LORA_TARGETS } from "../../src/model/lora.ts";
import { asSkyrlFsdp } from "./as-skyrl-fsdp.ts";
import { type Recording, recordingWire } from "./recorded.ts";
import { runScenario } from "./scenario.ts";

const [profile, url, baseModel, path, server] = process.argv.slice(2);
if (!profile || !url || !baseModel || !path || !server) {
  console.error("usage: npm run record:tinker -- PROFILE URL BASE_MODEL DIRECTORY SERVER");
  process.exit(2);
}
const isToy = /toy/.test(server);
/** What the base is called in the recording. */
const NAME = "base";

const isMade = /made/.test(server);
if (isMade && profile !== "skyrl-fsdp") throw new Error("Answers are made for the profile skyrl-fsdp alone.");
const { wire, exchanges } = recordingWire(isMade ? asSkyrlFsdp(fetchWire(url)) : fetchWire(url));
const lora = { rank: 4, alpha: 32, dropout: 0, rsLora: false, targets: ALL_LORA_TARGETS };
const open = (probes: boolean) =>
  openTinkerPolicy(
    { url, baseModel, profile, rank: undefined, patienceSeconds: 600 },
    { path, lora, adapterSeed: 3 },
    diskFolder,
    { wire, probes },
  );
let refusal: string | null = null;
const policy = await open(true).catch((error: Error) => {
  // A toy's numbers are those of no profile: that is recorded, and its protocol after it.
  if (!isToy) throw error;
  refusal = error.message;
  return open(false);
});
const outcome = await runScenario(policy, () => mkdtemp(join(tmpdir(), "aha-tinker-record-")));
await policy.dispose();
const config = JSON.parse(await readFile(join(path, "config.json"), "utf8")) as object;
// No name of a directory of this machine stays in it.
const neutral = (text: string) => text.replaceAll(baseModel, NAME);
const neutralExchanges = exchanges.map((exchange) => ({
  ...exchange,
  body: exchange.body === null ? null : neutral(exchange.body),
  answer: neutral(exchange.answer),
}));
const recording: Recording = {
  ...{ profile, server, ...(isToy && { isToy }), ...(isMade && { isMade }), refusal, baseModel: NAME, config },
  ...{ exchanges: neutralExchanges, outcome },
};
const place = fileURLToPath(new URL("../golden/tinker/", import.meta.url));
await mkdir(place, { recursive: true });
await writeFile(join(place, `${profile}.json`), `${JSON.stringify(recording, null, 1)}\n`);
console.log(`${exchanges.length} exchanges`);

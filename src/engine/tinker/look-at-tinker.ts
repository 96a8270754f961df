/** What a Tinker server says of itself before anything is made there: for `aha doctor`. */

import type { StageFinding } from "../../findings.ts";
import type { FolderAt } from "../../folder.ts";
import type { EngineLook, PolicySource } from "../engine-kind.ts";
import { adapterOf, findServer, infoOf, KEY_VARIABLE, keyFrom, type TinkerSurroundings } from "./open-tinker.ts";
import { capabilitiesOf } from "./remote-parts.ts";
import type { TinkerSpec } from "./tinker-spec.ts";

/** Whoever only looks does not wait for a server that is being started. */
const PATIENCE_SECONDS = 10;

/**
 * Asks the server that `spec` names.
 *
 * @throws ConfigError for what it does not have; EngineError where it cannot be asked.
 */
export async function lookAtTinker(
  spec: TinkerSpec,
  source: PolicySource,
  folderAt: FolderAt,
  surroundings: TinkerSurroundings = {},
): Promise<EngineLook> {
  const { environment = globalThis.process?.env ?? {} } = surroundings;
  const patienceSeconds = Math.min(spec.patienceSeconds, PATIENCE_SECONDS);
  const server = await findServer({ ...spec, patienceSeconds }, surroundings);
  const { profile, said } = server;
  const { rank } = adapterOf(spec, source, profile);
  const info = await infoOf(spec, folderAt(source.path), server, `LoRA of rank ${rank}`);
  const serves = said.supported_models.length > 0;
  return {
    info,
    capabilities: capabilitiesOf(profile),
    findings: keyFrom(environment) ? [] : keyFindings(spec),
    unsaid: [
      ...(serves ? [] : [`whether the server has ${spec.baseModel}: it does not say what it serves`]),
      `whether the server takes an adapter of rank ${rank}: it says so when one is made`,
      ...(profile.adam === "all"
        ? []
        : ["AdamW's numbers on the server: of the recipe's the learning rate alone counts"]),
      "memory on the server: the protocol does not tell it",
    ],
  };
}

/** A server on this machine may well want no key. */
function keyFindings({ url }: TinkerSpec): StageFinding[] {
  if (["127.0.0.1", "localhost", "[::1]"].includes(new URL(url).hostname)) return [];
  return [
    {
      severity: "warning",
      id: "engine-key",
      measured: `the environment variable ${KEY_VARIABLE} is not set, and the server is ${new URL(url).host}`,
      why: "servers on other machines usually want a key, and it is taken from nowhere else",
      advice: `set ${KEY_VARIABLE} before aha run`,
    },
  ];
}

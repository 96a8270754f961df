/** Models as they are opened over the base: new ones, ones made of a checkpoint, and those of a server before this one. */

import type { Policy } from "../../engine/contract/policy.ts";
import type { SharedBase } from "../../engine/engine-kind.ts";
import type { CheckpointStore, ModelDescription } from "./checkpoint-store.ts";
import type { ClientSessions } from "./client-sessions.ts";
import type { KeptRequest, KeptSession } from "./found-sessions.ts";
import type { Journal } from "./journal.ts";
import { KeptModel, type KeptPlace } from "./kept-model.ts";
import type { TinkerLimits } from "./limits.ts";
import type { LendScorer, PassReach } from "./pass.ts";
import { RequestFailure } from "./refusal.ts";
import { carryOutAgain } from "./replay.ts";
import { TrainingModel } from "./training-model.ts";

/** What models are opened over, and where they are noted. */
export interface ModelSurroundings {
  readonly base: SharedBase;
  readonly sessions: ClientSessions;
  readonly checkpoints: CheckpointStore;
  readonly journal: Journal;
  readonly limits: TinkerLimits;
  readonly scorers: LendScorer;
  readonly onDefect: (error: unknown) => void;
}

/** What passes of a session may use. */
export function reachOf({ scorers, sessions }: ModelSurroundings, session: string): PassReach {
  return { scorers, loss: (id) => sessions.loss(session, id) };
}

/** The id of a model: official clients make it themselves. */
const modelId = (session: string, number: number) => `${session}:train:${number}`;

/**
 * Opens a model; the one of this number that is open, where there is one. `load` gives it other weights than its description
 * makes. Throws RequestFailure where there are too many.
 */
export async function openTrainingModel(
  surroundings: ModelSurroundings,
  place: { readonly session: string; readonly number: number },
  description: ModelDescription,
  load?: (policy: Policy) => Promise<void>,
): Promise<TrainingModel> {
  const { base, sessions, checkpoints, limits } = surroundings;
  const id = modelId(place.session, place.number);
  const known = sessions.models.get(id);
  if (known) return known;
  if (sessions.opening + sessions.models.size >= limits.mostModels) {
    throw new RequestFailure(
      `The server has ${sessions.models.size} models, as many as it takes: unload one, or end the session that has it.`,
    );
  }
  return sessions.whileOpening(async () => {
    const policy = await base.open({ lora: description.lora, adapterSeed: description.seed });
    try {
      await load?.(policy);
      await checkpoints.addRun(id, description);
      const kept = await KeptModel.begin(keptPlace(surroundings, place), description, load && policy);
      const model = modelOf(surroundings, place.session, kept, Promise.resolve(policy), 1);
      sessions.addModel(model);
      return model;
    } catch (error) {
      await policy.dispose();
      throw error;
    }
  });
}

/**
 * Opens the models of a session of the server before this one. Their states are computed while others are served: one after
 * the other, when `before` is done, so that it is known which one ended the server where one does.
 *
 * @returns Resolves when the last one is there.
 */
export async function restoreModels(
  surroundings: ModelSurroundings,
  { id, requests }: KeptSession,
  before: Promise<unknown>,
): Promise<{ readonly restored: Promise<unknown> }> {
  const { sessions, journal } = surroundings;
  let restored = before;
  for (const number of await journal.modelNumbers(id)) {
    const own = requestsOf(requests, modelId(id, number));
    const kept = await KeptModel.find(keptPlace(surroundings, { session: id, number }));
    if (kept === undefined) continue;
    const settled = own.filter(({ result }) => result !== undefined).map(({ record }) => record.turn!.number);
    const first = Math.max(kept.next, ...settled.map((own) => own + 1));
    const policy = restored.then(() => madeAgain(surroundings, id, kept, own));
    restored = policy.catch(() => {});
    sessions.addModel(modelOf(surroundings, id, kept, policy, first));
  }
  return { restored };
}

/** The policy of a model as its state and the requests after it make it. Throws RequestFailure. */
async function madeAgain(
  surroundings: ModelSurroundings,
  session: string,
  kept: KeptModel,
  requests: readonly KeptRequest[],
): Promise<Policy> {
  const { base, journal } = surroundings;
  const make = async () => {
    const policy = await base.open({ lora: kept.description.lora, adapterSeed: kept.description.seed });
    try {
      await kept.restore(policy);
      const after = requests.filter(({ record }) => record.turn!.number >= kept.next);
      await carryOutAgain(policy, after, reachOf(surroundings, session), kept);
      return policy;
    } catch (error) {
      await policy.dispose();
      throw error;
    }
  };
  try {
    return await journal.whileUnderWay("model", session, `model ${kept.id}`, make);
  } catch (error) {
    throw new RequestFailure(
      `The model ${kept.id} could not be made again after the server's end: ${(error as Error).message}`,
      "server",
    );
  }
}

function keptPlace(
  { journal, onDefect }: ModelSurroundings,
  { session, number }: { readonly session: string; readonly number: number },
): KeptPlace {
  return { journal, directory: journal.modelDirectory(session, number), id: modelId(session, number), onDefect };
}

/** A model's requests in the order of their numbers. */
function requestsOf(requests: readonly KeptRequest[], model: string): KeptRequest[] {
  return requests
    .filter(({ record }) => record.turn?.model === model)
    .sort((a, b) => a.record.turn!.number - b.record.turn!.number);
}

function modelOf(
  { limits, onDefect }: ModelSurroundings,
  sessionId: string,
  kept: KeptModel,
  policy: Promise<Policy>,
  first: number,
): TrainingModel {
  return new TrainingModel(kept, policy, { sessionId, first, limits, onDefect });
}

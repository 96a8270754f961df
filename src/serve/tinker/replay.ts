/**
 * What a model did since its state was saved, once more: passes that left a gradient, and steps. The engine computes the same
 * bytes from the same state, and what clients were told is kept apart, so nobody can tell the model from the one that was
 * lost. A request that failed left nothing, and one that only asks or saves changes nothing.
 */

import type { Policy } from "../../engine/contract/policy.ts";
import { FORWARD_BACKWARD_REQUEST } from "../../tinker/messages.ts";
import { REQUESTS } from "../../tinker/requests.ts";
import { forwardBackward } from "./forward-backward.ts";
import type { KeptRequest } from "./found-sessions.ts";
import { jsonBody } from "./json-body.ts";
import type { KeptModel } from "./kept-model.ts";
import type { PassReach } from "./pass.ts";
import { adamOf } from "./training-model.ts";

/** Carries out again what `requests`, in their order, did to the policy, and notes on `kept` what that was. */
export async function carryOutAgain(
  policy: Policy,
  requests: readonly KeptRequest[],
  reach: PassReach,
  kept: Pick<KeptModel, "noteGradient" | "noteStep">,
): Promise<void> {
  for (const { record, body, result } of requests) {
    if (body === undefined || result === undefined || result.kind === "failed") continue;
    if (record.name === "forward_backward") {
      const request = FORWARD_BACKWARD_REQUEST.decode(await body.read());
      if (request.forwardOnly) continue;
      await forwardBackward(policy, request, reach);
      kept.noteGradient();
    } else if (record.name === "optim_step") {
      await policy.optimStep(adamOf(REQUESTS.optim_step.parse(jsonBody(await body.read()).value)));
      kept.noteStep();
    }
  }
}

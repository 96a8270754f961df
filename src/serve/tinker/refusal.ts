/**
 * The two ways in which the Tinker protocol says no. A request that cannot be taken at all is answered with a status and
 * {"detail"}; one that was taken, and so has used up its number, gets a future that fails. A refusal that will stay is never
 * 408, 409, 429 or above 499: clients would send it again for minutes.
 */

import { AhaError } from "../../errors.ts";
import type { Failure } from "../../tinker/requests.ts";

/** What a request is answered with that is not taken. */
export class Refusal extends AhaError {
  override name = "Refusal";
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** What becomes of a request that was taken and makes no sense. */
export class RequestFailure extends AhaError {
  override name = "RequestFailure";
  readonly category: Failure["category"];

  constructor(message: string, category: Failure["category"] = "user") {
    super(message);
    this.category = category;
  }
}

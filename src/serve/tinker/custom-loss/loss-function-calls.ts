/** The losses of torch.nn.functional that a custom loss may be made of. */

import { RequestFailure } from "../refusal.ts";
import type { CallArguments } from "./arguments.ts";
import type { CallDefinition } from "./calls.ts";
import { ARITHMETIC, FLOAT_FUNCTIONS, floatUnary, inPairs, KEEPING_FUNCTIONS, unary } from "./elementwise.ts";
import type { LossArray, Tape } from "./loss-array.ts";
import { describeValue } from "./python-values.ts";
import { allAxes, meanOver, sumOver } from "./reductions.ts";

export const LOSS_FUNCTION_CALLS: readonly CallDefinition[] = [
  [
    "F.mse_loss",
    "input, target, reduction?",
    (given) => {
      return reducedLoss(given, unary(given.tape, difference(given), KEEPING_FUNCTIONS.square!));
    },
  ],
  [
    "F.l1_loss",
    "input, target, reduction?",
    (given) => {
      return reducedLoss(given, unary(given.tape, difference(given), KEEPING_FUNCTIONS.abs!));
    },
  ],
  [
    "F.huber_loss",
    "input, target, reduction?, delta?",
    (given) => {
      const delta = given.number("delta", 1);
      return reducedLoss(given, huber(given, delta, delta));
    },
  ],
  [
    "F.smooth_l1_loss",
    "input, target, reduction?, beta?",
    (given) => {
      const beta = given.number("beta", 1);
      if (beta === 0) return reducedLoss(given, unary(given.tape, difference(given), KEEPING_FUNCTIONS.abs!));
      return reducedLoss(given, huber(given, beta, 1));
    },
  ],
  ["F.kl_div", "input, target, reduction?, log_target?", divergence],
  [
    "F.binary_cross_entropy_with_logits",
    "input, target, reduction?",
    (given) => {
      const { tape } = given;
      const [x, target] = [given.array("input"), given.array("target")];
      // −t · ln σ(x) − (1 − t) · ln σ(−x) = (1 − t) · x − ln σ(x).
      const rest = unary(tape, target, { value: (own) => 1 - own, slope: () => -1 });
      const linear = inPairs(tape, rest, x, ARITHMETIC.mul!);
      return reducedLoss(
        given,
        inPairs(tape, linear, floatUnary(tape, x, FLOAT_FUNCTIONS.logsigmoid!), ARITHMETIC.sub!),
      );
    },
  ],
];

function difference(given: CallArguments): LossArray {
  return inPairs(given.tape, given.array("input"), given.array("target"), ARITHMETIC.sub!);
}

/** ½d² · s / δ up to |d| = δ and (|d| − ½δ) · s beyond it: Huber's loss with s = δ, the smooth L1 with s = 1. */
function huber(given: CallArguments, delta: number, scale: number): LossArray {
  if (!(delta > 0)) throw new RequestFailure(`takes a threshold above 0, not ${delta}.`);
  return unary(given.tape, difference(given), {
    value: (d) => (Math.abs(d) < delta ? (0.5 * d * d * scale) / delta : (Math.abs(d) - 0.5 * delta) * scale),
    slope: (d) => (Math.abs(d) < delta ? (d * scale) / delta : Math.sign(d) * scale),
  });
}

/** t · (ln t − x), or eᵗ · (t − x) with `log_target`. */
function divergence(given: CallArguments): LossArray {
  const { tape } = given;
  const [x, target] = [given.array("input"), given.array("target")];
  if (given.flag("log_target")) {
    const powers = floatUnary(tape, target, FLOAT_FUNCTIONS.exp!);
    return reducedLoss(given, inPairs(tape, powers, inPairs(tape, target, x, ARITHMETIC.sub!), ARITHMETIC.mul!));
  }
  const entropy = inPairs(tape, target, target, ARITHMETIC.xlogy!);
  return reducedLoss(given, inPairs(tape, entropy, inPairs(tape, target, x, ARITHMETIC.mul!), ARITHMETIC.sub!));
}

function reducedLoss(given: CallArguments, loss: LossArray): LossArray {
  const { tape } = given;
  const reduction = given.text("reduction", "mean");
  switch (reduction) {
    case "none":
      return loss;
    case "sum":
      return sumOver(tape, loss, allAxes(loss));
    case "mean":
      return meanOver(tape, loss, allAxes(loss));
    case "batchmean":
      return byBatch(tape, loss);
    default:
      throw new RequestFailure(`has no reduction ${describeValue(reduction)}.`);
  }
}

function byBatch(tape: Tape, loss: LossArray): LossArray {
  const batch = loss.shape[0] ?? 1;
  return unary(tape, sumOver(tape, loss, allAxes(loss)), { value: (own) => own / batch, slope: () => 1 / batch });
}

"""TRL's own GRPO losses, and their gradients by log-probability, on random ragged batches.

`GRPOTrainer._compute_loss` itself is called, on a stand-in for the trainer whose model answers with given
log-probabilities: nothing of the loss is written again here.

usage: OMP_NUM_THREADS=1 python test/golden/make_grpo_loss_golden.py
writes test/golden/grpo-loss.json; needs torch and trl (versions in the JSON).
"""
import collections
import json
import pathlib
import types

import torch
import trl
from trl.trainer.grpo_trainer import GRPOTrainer

HERE = pathlib.Path(__file__).parent
SEED = 20250122
MAX_COMPLETION_LENGTH = 12


def trainer(loss_type: str, beta: float, epsilon: float, epsilon_high: float, logps: torch.Tensor):
    """What `_compute_loss` reads of a trainer in training, one process, one micro-batch to a step."""
    accelerator = types.SimpleNamespace(
        num_processes=1, sync_gradients=True, gather=lambda x: x, reduce=lambda x, reduction: x
    )
    return types.SimpleNamespace(
        aux_loss_enabled=False, top_entropy_quantile=1.0, off_policy_mask_threshold=None,
        importance_sampling_level="token", beta=beta, loss_type=loss_type, epsilon_low=epsilon,
        epsilon_high=epsilon_high, max_completion_length=MAX_COMPLETION_LENGTH, use_vllm=False,
        current_gradient_accumulation_steps=1, _entropy_bonus_enabled=False, use_adaptive_entropy=False,
        entropy_coef=0.0, model=types.SimpleNamespace(training=True), accelerator=accelerator,
        args=types.SimpleNamespace(use_bias_correction_kl=False, delta=None, steps_per_generation=1),
        _metrics={"train": collections.defaultdict(list)},
        _get_per_token_logps_and_entropies=lambda *_, **__: (logps, torch.zeros_like(logps), None),
    )


def case(loss_type: str, beta: float, epsilon: float, epsilon_high: float, lengths: list) -> dict:
    B, T = len(lengths), max(lengths)
    mask = torch.tensor([[1 if t < length else 0 for t in range(T)] for length in lengths])
    logps = (-3 * torch.rand(B, T)).requires_grad_()
    # Log-ratios of both signs, half of them outside of the clip.
    old = logps.detach() + 0.4 * torch.randn(B, T)
    ref = logps.detach() + 0.6 * torch.randn(B, T)
    advantages = torch.randn(B)
    inputs = {
        "prompt_ids": torch.zeros(B, 2, dtype=torch.long), "prompt_mask": torch.ones(B, 2, dtype=torch.long),
        "completion_ids": torch.zeros(B, T, dtype=torch.long), "completion_mask": mask,
        "advantages": advantages, "old_per_token_logps": old, "ref_per_token_logps": ref,
        "num_items_in_batch": mask.sum(),
    }
    loss = GRPOTrainer._compute_loss(trainer(loss_type, beta, epsilon, epsilon_high, logps), None, inputs)
    loss.backward()

    def rows(x):
        return [x[i, :length].tolist() for i, length in enumerate(lengths)]

    return {
        "lossType": loss_type, "klCoef": beta, "clipEpsilon": epsilon, "clipEpsilonHigh": epsilon_high,
        "advantages": advantages.tolist(), "logprobs": rows(logps.detach()), "samplerLogprobs": rows(old),
        "refLogprobs": rows(ref), "loss": float(loss), "gradient": rows(logps.grad),
    }


def main() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    cases = [
        case(loss_type, beta, epsilon, epsilon_high, lengths)
        for loss_type in ("grpo", "dr_grpo", "dapo")
        for beta in (0.0, 0.04)
        for epsilon, epsilon_high in ((0.2, 0.2), (0.2, 0.28))
        for lengths in ([5, 1, 9, 12, 3, 7],)
    ] + [case(loss_type, 0.04, 0.1, 0.3, [1]) for loss_type in ("grpo", "dr_grpo", "dapo")]
    golden = {
        "generator": "test/golden/make_grpo_loss_golden.py",
        "versions": {"torch": torch.__version__, "trl": trl.__version__},
        "seed": SEED,
        "tolerance": {"lossRelative": 1e-5, "gradientRelative": 1e-4},
        "meaning": "gradient[i][t] = d loss / d logprobs[i][t]; rows are completions, without padding",
        "maxCompletionTokens": MAX_COMPLETION_LENGTH,
        "cases": cases,
    }
    (HERE / "grpo-loss.json").write_text(json.dumps(golden) + "\n")


if __name__ == "__main__":
    main()

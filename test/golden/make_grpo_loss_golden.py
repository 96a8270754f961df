"""TRL's own numbers of a whole GRPO step: advantages, losses, gradients by log-probability, metrics.

Nothing of TRL is written again here. `_generate_and_score_completions` (rewards, advantages, masks, sampler correction)
and `_compute_loss` of GRPOTrainer and RLOOTrainer are called on instances that were never initialised: sampling, judging
and the model are replaced by given tokens, rewards, log-probabilities and entropies. Everything runs in double precision,
so that what differs from these numbers differs by more than rounding.

usage: OMP_NUM_THREADS=1 python test/golden/make_grpo_loss_golden.py
writes test/golden/grpo-loss.json; needs torch and trl (versions in the JSON).
"""
import collections
import contextlib
import json
import math
import pathlib
import types

import torch
import trl
from trl.trainer import grpo_trainer, rloo_trainer
from trl.trainer.grpo_trainer import GRPOTrainer
from trl.trainer.rloo_trainer import RLOOTrainer

HERE = pathlib.Path(__file__).parent
SEED = 20250122
MAX_COMPLETION_LENGTH = 9
EOS, PAD, WORD = 1, 0, 2

# What a case may set, under Aha's names, with the values that leave each knob off.
DEFAULTS = {
    "lossType": "dapo", "importanceSamplingLevel": "token", "clipEpsilon": 0.2, "clipEpsilonHigh": None, "delta": None,
    "sapoTemperaturePos": 1.0, "sapoTemperatureNeg": 1.05,
    "vespoKPos": 2.0, "vespoLambdaPos": 3.0, "vespoKNeg": 3.0, "vespoLambdaNeg": 2.0,
    "klCoef": 0.0, "klBiasCorrection": False, "maskTruncatedCompletions": False, "offPolicyMaskThreshold": None,
    "topEntropyQuantile": 1.0, "entropyCoef": 0.0,
    "samplerCorrection": "none", "samplerCorrectionMax": 3.0, "samplerCorrectionMin": None,
    "scaleRewards": "group", "rewardAggregation": "sum_then_normalize", "normalizeAdvantages": False,
    # Optimizer steps that the completions are divided among; this is one of them, and its batch is all there is.
    "minibatchesPerIteration": 1,
}


def rounded(x: float, digits: int = 6) -> float:
    value = 0 if abs(x) < 1e-11 else float(f"{x:.{digits}g}")
    return int(value) if value == int(value) else value


def batch(name: str, groups: int, size: int, spread: float, generator: torch.Generator, holes: bool = False) -> dict:
    """Ragged completions with rewards of two judges; `spread` is how far policies differ, in nats."""
    count = groups * size

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    lengths = [1 + int(torch.randint(MAX_COMPLETION_LENGTH, (1,), generator=generator)) for _ in range(count)]
    lengths[0], lengths[1] = 1, MAX_COMPLETION_LENGTH
    rows = collections.defaultdict(list)
    rewards = []
    for i, length in enumerate(lengths):
        logprobs = -3 * torch.rand(length, generator=generator) - 0.01
        old = logprobs + spread * normal(length)
        # Rounded here, so that the JSON is what TRL was given.
        columns = {
            "logprobs": logprobs, "oldLogprobs": old, "samplerLogprobs": old + 0.5 * spread * normal(length),
            "refLogprobs": logprobs + min(spread, 1.0) * normal(length),
        }
        for key, values in columns.items():
            rows[key].append([round(float(v), 3) for v in values])
        # Numbers that f32 holds exactly: TRL takes the quantile of entropies in single precision.
        rows["entropies"].append([int(v) / 64 for v in torch.randint(200, (length,), generator=generator)])
        mask = [1] * length
        if holes and length > 2:
            mask = [int(torch.rand(1, generator=generator) < 0.7) for _ in range(length)]
            mask[0] = 1
        rows["mask"].append(mask)
        rows["truncated"].append(bool(torch.rand(1, generator=generator) < 0.3))
        rewards.append([round(float(torch.rand(1, generator=generator)), 2), round(float(normal(1)), 2)])
    # The second group: equal rewards, whose mean is exact, so that no rounding has a sign. The third: abstentions of one judge, of both, and one completion judged at all.
    for i in range(size, 2 * size):
        rewards[i] = [0.25, 1.0]
    if groups > 2:
        rewards[2 * size] = [None, 0.5]
        rewards[2 * size + 1] = [None, None]
    if groups > 3:
        for i in range(3 * size, 4 * size):
            rewards[i] = [None, None]
        rewards[3 * size] = [1.0, None]
    return {"name": name, "groupSize": size, "rewardWeights": [1.0, 0.5], **rows, "rewards": rewards}


def padded(rows: list, fill: float = 0.0) -> torch.Tensor:
    width = max(len(row) for row in rows)
    return torch.tensor([row + [fill] * (width - len(row)) for row in rows])


def stand_in(cls, data: dict, config: dict):
    """A trainer in training, one process, one micro-batch to a step, that samples and scores what `data` says."""
    self = cls.__new__(cls)
    scores = iter(data["scores"])

    def accelerator():
        same = lambda x, *_, **__: x
        return types.SimpleNamespace(
            num_processes=1, process_index=0, device=torch.device("cpu"), sync_gradients=True,
            gather=same, reduce=same, pad_across_processes=same, gather_for_metrics=same,
        )

    model = types.SimpleNamespace(
        training=True, is_gradient_checkpointing=False,
        gradient_checkpointing_disable=lambda: None, gradient_checkpointing_enable=lambda *_: None,
    )
    high = config["clipEpsilonHigh"]
    correction = config["samplerCorrection"]
    ids = [[WORD] * (len(row) - 1) + [WORD if cut else EOS] for row, cut in zip(data["logprobs"], data["truncated"])]
    prompts = [[WORD, WORD]] * len(ids)
    generated = (prompts, ids, data["mask"], ["" for _ in ids], data["samplerLogprobs"], {}, None, None)
    args = types.SimpleNamespace(
        use_bias_correction_kl=config["klBiasCorrection"], delta=config["delta"],
        sapo_temperature_pos=config["sapoTemperaturePos"], sapo_temperature_neg=config["sapoTemperatureNeg"],
        vespo_k_pos=config["vespoKPos"], vespo_lambda_pos=config["vespoLambdaPos"],
        vespo_k_neg=config["vespoKNeg"], vespo_lambda_neg=config["vespoLambdaNeg"],
        per_device_train_batch_size=len(ids), steps_per_generation=config["minibatchesPerIteration"],
        gradient_accumulation_steps=1, gradient_checkpointing_kwargs=None,
    )
    attributes = dict(
        accelerator=accelerator(), model=model, ref_model=model, args=args, environment_factories=None, environments=None, tools=None,
        _is_vlm=False, log_multimodal=False, pad_to_multiple_of=None, eos_token_ids=[EOS],
        num_generations=data["groupSize"], num_generations_eval=data["groupSize"], num_iterations=2,
        current_gradient_accumulation_steps=1, reward_funcs=["first", "second"],
        reward_func_names=["first", "second"], reward_weights=torch.tensor(data["rewardWeights"]),
        mask_truncated_completions=config["maskTruncatedCompletions"],
        use_vllm=correction != "none", vllm_importance_sampling_correction=correction != "none",
        vllm_importance_sampling_mode=correction, vllm_importance_sampling_clip_max=config["samplerCorrectionMax"],
        vllm_importance_sampling_clip_min=config["samplerCorrectionMin"],
        loss_type=config["lossType"], importance_sampling_level=config["importanceSamplingLevel"],
        epsilon_low=config["clipEpsilon"], epsilon_high=config["clipEpsilon"] if high is None else high,
        beta=config["klCoef"], max_completion_length=MAX_COMPLETION_LENGTH,
        off_policy_mask_threshold=config["offPolicyMaskThreshold"], top_entropy_quantile=config["topEntropyQuantile"],
        entropy_coef=config["entropyCoef"], use_adaptive_entropy=False, _entropy_bonus_enabled=config["entropyCoef"] != 0,
        aux_loss_enabled=False, scale_rewards=config["scaleRewards"],
        multi_objective_aggregation=config["rewardAggregation"], normalize_advantages=config["normalizeAdvantages"],
        reward_clip_range=None, _metrics={"train": collections.defaultdict(list)},
        _logs={"prompt": [], "completion": [], "advantages": [], "rewards": collections.defaultdict(list)},
        _pending_extra_logs={}, _pending_metrics={},
        _generate=lambda _: generated if cls is GRPOTrainer else (prompts, ids, generated[3]),
        _calculate_rewards=lambda *_: torch.tensor(
            [[math.nan if score is None else score for score in row] for row in data["rewards"]]
        ),
        _get_per_token_logps_and_entropies=lambda *_, **__: next(scores),
    )
    # A class of its own, because some of these are properties of the trainer.
    Standing = type("Standing", (cls,), {"_tokenizer": types.SimpleNamespace(pad_token_id=PAD), "__init__": None})
    self.__class__ = Standing
    for key, value in attributes.items():
        setattr(self, key, value)
    return self


def case(name: str, cls, data: dict, **knobs) -> dict:
    config = {**DEFAULTS, **knobs}
    logprobs = padded(data["logprobs"]).requires_grad_()
    entropies = padded(data["entropies"]).requires_grad_()
    old = (padded(data["oldLogprobs"]), None, None)
    reference = [(padded(data["refLogprobs"]), None, None)] if config["klCoef"] else []
    trainer = stand_in(cls, {**data, "scores": [old, *reference, (logprobs, entropies, None)]}, config)
    inputs = cls._generate_and_score_completions(trainer, [{"prompt": "p"}] * len(data["logprobs"]))
    loss = cls._compute_loss(trainer, None, inputs)
    loss.backward()

    def rows(x):
        return [[rounded(v) for v in x[i, : len(row)].tolist()] for i, row in enumerate(data["logprobs"])]

    ratio = inputs.get("importance_sampling_ratio")
    metrics = {
        key: rounded(sum(v) / len(v))
        for key, v in trainer._metrics["train"].items()
        if not math.isnan(sum(v)) and not key.startswith("rewards/")
    }
    return {
        "trainer": {GRPOTrainer: "grpo", RLOOTrainer: "rloo"}[cls], "batch": name, "config": knobs,
        "advantages": [rounded(v) for v in inputs["advantages"].tolist()], "loss": rounded(loss.item(), 9),
        "gradient": rows(logprobs.grad),
        **({"entropyGradient": rows(entropies.grad)} if config["entropyCoef"] else {}),
        **({"correction": rows(ratio.expand(ratio.shape[0], logprobs.shape[1]))} if ratio is not None else {}),
        "metrics": metrics,
    }


LOSS_TYPES = ("grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo")


def knobs():
    """What is asked of GRPOTrainer on every batch: each loss by itself, each knob on several losses, some of all."""
    for loss_type in LOSS_TYPES:
        # For cispo the upper epsilon is the cap itself.
        high = 2.0 if loss_type == "cispo" else 0.28
        yield dict(lossType=loss_type, clipEpsilonHigh=high)
        yield dict(lossType=loss_type, clipEpsilonHigh=high, importanceSamplingLevel="sequence", klCoef=0.04)
        yield dict(
            lossType=loss_type, clipEpsilonHigh=high, klCoef=0.1, klBiasCorrection=True, maskTruncatedCompletions=True,
            minibatchesPerIteration=3, scaleRewards="batch",
        )
    for loss_type in ("grpo", "luspo", "vespo"):
        yield dict(lossType=loss_type, importanceSamplingLevel="sequence", klCoef=0.1, klBiasCorrection=True)
    for delta in (1.1, 4.0):
        yield dict(lossType="grpo", delta=delta, scaleRewards="none")
        yield dict(lossType="luspo", delta=delta, importanceSamplingLevel="sequence")
    yield dict(lossType="sapo", sapoTemperaturePos=2.0, sapoTemperatureNeg=3.0)
    yield dict(lossType="vespo", vespoKPos=1.0, vespoLambdaPos=0.5, vespoKNeg=2.0, vespoLambdaNeg=0.7)
    for loss_type in ("grpo", "cispo", "vespo"):
        yield dict(lossType=loss_type, offPolicyMaskThreshold=0.05, klCoef=0.02)
        yield dict(lossType=loss_type, topEntropyQuantile=0.2, klCoef=0.02)
        yield dict(lossType=loss_type, entropyCoef=0.01)
    yield dict(lossType="grpo", importanceSamplingLevel="sequence", offPolicyMaskThreshold=0.0, topEntropyQuantile=0.5)
    yield dict(lossType="dapo", topEntropyQuantile=0.0, entropyCoef=0.5)
    yield dict(lossType="bnpo", topEntropyQuantile=0.6, entropyCoef=-0.5, maskTruncatedCompletions=True)
    for mode in ("token_truncate", "token_mask", "sequence_truncate", "sequence_mask"):
        yield dict(lossType="grpo", samplerCorrection=mode, samplerCorrectionMax=1.3)
        yield dict(lossType="dapo", samplerCorrection=mode, samplerCorrectionMax=1.5, samplerCorrectionMin=0.6, klCoef=0.1)
    yield dict(lossType="grpo", samplerCorrection="token_mask", samplerCorrectionMax=None, samplerCorrectionMin=0.9)
    yield dict(lossType="grpo", samplerCorrection="token_truncate", importanceSamplingLevel="sequence", offPolicyMaskThreshold=0.1)
    for mode in ("token_truncate", "token_mask"):
        yield dict(lossType="vespo", samplerCorrection=mode, samplerCorrectionMax=1.2)
    yield dict(lossType="sapo", samplerCorrection="sequence_mask", topEntropyQuantile=0.5, klCoef=0.1, klBiasCorrection=True)
    yield dict(lossType="grpo", rewardAggregation="normalize_then_sum")


def main() -> None:
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)
    # Both look for other processes, of which there are none.
    for module in (grpo_trainer, rloo_trainer):
        module.gather_object = lambda x: x
        module.gather = lambda x: x
    generator = torch.Generator().manual_seed(SEED)
    batches = [
        batch("near", 4, 3, 0.3, generator),
        batch("far", 3, 4, 6.0, generator),
        batch("holes", 3, 3, 0.3, generator, holes=True),
    ]
    cases = []
    # Every knob on one batch, each loss on all three, each other knob on one more.
    for index, config in enumerate(knobs()):
        near, far, holes = batches
        for data in (near, far, holes) if index < 3 * len(LOSS_TYPES) else (near, (far, holes)[index % 2]):
            cases.append(case(data["name"], GRPOTrainer, data, **config))
    for data in batches[:2]:
        for config in (dict(), dict(klCoef=0.05), dict(klCoef=0.05, normalizeAdvantages=True)):
            cases.append(case(data["name"], RLOOTrainer, data, **{"lossType": "rloo", **config}))
    golden = {
        "generator": "test/golden/make_grpo_loss_golden.py",
        "versions": {"torch": torch.__version__, "trl": trl.__version__},
        "seed": SEED,
        "tolerance": {"lossRelative": 1e-5, "gradientRelative": 1e-4},
        "meaning": "gradient[i][t] = d loss / d logprobs[i][t]; rows are completions, without padding; config holds what "
        "is not a default",
        "defaults": DEFAULTS,
        "maxCompletionTokens": MAX_COMPLETION_LENGTH,
        "batches": {data.pop("name"): data for data in batches},
        "cases": cases,
    }
    (HERE / "grpo-loss.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        main()

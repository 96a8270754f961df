"""Recipes of the Tinker cookbook, as they are, on `aha serve --tinker`.

usage: cookbook.py URL BASE_MODEL MODEL_DIRECTORY LOG_DIRECTORY

What a recipe would fetch is in memory: its data set, its tokenizer. The reward of rl_loop and math_rl is another one, since a
random model solves no school problem: whether a letter stands in the answer five times.
"""

import json
import os
import runpy
import sys

import datasets
import tinker
import torch
from transformers import AutoTokenizer

URL, BASE, MODEL, LOGS = sys.argv[1:5]
PARTS = sys.argv[5:]

from tinker_cookbook import tokenizer_utils  # noqa: E402
from tinker_cookbook.recipes.math_rl import math_grading  # noqa: E402

tokenizer_utils.register_tokenizer(BASE, lambda: AutoTokenizer.from_pretrained(MODEL))

LAST_LOG = []
ROWS = [
    {
        "question": f"What is {i} and {i}?",
        "answer": f"Twice {i} is #### {2 * i}",
        "messages": [{"role": "user", "content": f"Say {i % 5}."}, {"role": "assistant", "content": f"Here it is: {i % 5}."}],
        "chosen": f"\n\nHuman: Say {i % 5}.\n\nAssistant: Yes, {i % 5}.",
        "rejected": f"\n\nHuman: Say {i % 5}.\n\nAssistant: No, I will not.",
    }
    for i in range(512)
]
SPLITS = {"train": datasets.Dataset.from_list(ROWS), "test": datasets.Dataset.from_list(ROWS[:16])}
datasets.load_dataset = lambda *_args, split=None, **_kwargs: SPLITS[split] if split else datasets.DatasetDict(SPLITS)
math_grading.extract_boxed = lambda response: response
math_grading.grade_answer = lambda given, _truth: given.count("e") >= 5


def run(name, **options):
    log = os.path.join(LOGS, f"{name}-{len(os.listdir(LOGS)) if os.path.isdir(LOGS) else 0}")
    LAST_LOG[:] = [log]
    sys.argv = [name, f"base_url={URL}", f"model_name={BASE}", f"log_path={log}"]
    sys.argv += [f"{key}={value}" for key, value in options.items()]
    runpy.run_module(f"tinker_cookbook.recipes.{name}", run_name="__main__")
    with open(os.path.join(log, "metrics.jsonl")) as file:
        return [json.loads(line) for line in file]


def requires(what, condition, values):
    print(f"{what}: {' '.join(f'{v:.3f}' for v in values)}", flush=True)
    if not condition:
        raise SystemExit(f"{what}: not as it should be")


def values_of(rows, key):
    found = [row[key] for row in rows if key in row]
    assert found, f"no {key} among {sorted({name for row in rows for name in row})}"
    return found


def rises(values):
    third = max(1, len(values) // 3)
    return sum(values[-third:]) > sum(values[:third])


def supervised():
    rows = run("sl_loop", batch_size=16, learning_rate=5e-3, lora_rank=8, max_steps=12, save_every=5)
    losses = values_of(rows, "train_mean_nll")
    requires("sl_loop, loss", losses[-1] < 0.7 * losses[0], losses)
    rows = run("sl_basic", learning_rate=5e-3, lora_rank=8, num_epochs=2, eval_every=4, save_every=4)
    losses = values_of(rows, "train_mean_nll")
    requires("sl_basic, loss", losses[-1] < 0.7 * losses[0], losses)


def reinforced():
    for loss in ("importance_sampling", "gspo", "cispo"):
        options = {"batch_size": 4, "group_size": 16, "max_tokens": 16, "learning_rate": 1e-2, "lora_rank": 8}
        rows = run("rl_loop", **options, save_every=5, max_steps=14, loss_fn=loss)
        rewards = values_of(rows, "reward/total")
        requires(f"rl_loop, {loss}, reward", rises(rewards), rewards)


def mathematics():
    from tinker_cookbook.rl import train

    trained = []
    measure = train.compute_kl_sample_train

    def observed(data, logprobs):
        trained.append((data, logprobs))
        return measure(data, logprobs)

    train.compute_kl_sample_train = observed
    for stale in (0, 1):
        trained.clear()
        what = f"math_rl, {stale} steps off policy" if stale else "math_rl"
        options = {"env": "gsm8k", "group_size": 16, "groups_per_batch": 4, "max_tokens": 16, "learning_rate": 3e-3}
        options |= {"lora_rank": 8, "loss_fn": "importance_sampling", "compute_post_kl": True, "max_steps": 8}
        if stale:
            options["max_steps_off_policy"] = stale
        rows = [row for row in run("math_rl.train", **options, eval_every=0, save_every=1) if KL in row]
        rewards = values_of(rows, "env/all/reward/total")
        requires(f"{what}, reward", rises(rewards), rewards)
        agrees(what, trained, saved_states(), stale)
        lags = [row["training_client/step"] - row["sampling_client/step_min"] for row in rows] if stale else [0]
        requires(f"{what}, age of its samples in steps", max(lags) == stale and min(lags) >= 0, lags)


def saved_states():
    """Paths of the states of the last run, by the number of steps that they have taken."""
    with open(os.path.join(LAST_LOG[0], "checkpoints.jsonl")) as file:
        rows = [json.loads(line) for line in file]
    return {int(row["name"]): row["state_path"] for row in rows if row["name"].isdigit() and row.get("state_path")}


def agrees(what, trained, states, stale):
    """Every sample has the log-probabilities that the trainer has at the step that it was sampled at, which is at most `stale`
    steps before the one that trains on it: of that step the trainer itself told them, of those before its saved states do.
    """
    sampled = [[sampled_of(datum) for datum in data] for data, _ in trained]
    gaps = [[gap_of(q, lp, datum) for datum, lp, q in zip(data, own, sampled[k])] for k, (data, own) in enumerate(trained)]
    at_own_step = [max(row) for row in gaps]
    training = None
    for step in range(len(trained)):
        later = range(step + 1, min(len(trained), step + stale + 1))
        if not later:
            continue
        if training is None:
            training = tinker.ServiceClient(base_url=URL).create_training_client_from_state(states[step])
        else:
            training.load_state(states[step]).result()
        for k in later:
            data = trained[k][0]
            outputs = training.forward([as_scored(datum) for datum in data], "cross_entropy").result().loss_fn_outputs
            for i, (datum, output) in enumerate(zip(data, outputs)):
                gaps[k][i] = min(gaps[k][i], gap_of(sampled[k][i], output["logprobs"].to_torch(), datum))
    worst = [max(row) for row in gaps]
    requires(f"{what}, sampler against trainer", max(worst) < AGREEMENT, worst)
    # Without this the comparison with older states would say nothing.
    if stale:
        requires(f"{what}, samples against the step that trains on them", max(at_own_step) > 1000 * AGREEMENT, at_own_step)


def sampled_of(datum):
    return datum.loss_fn_inputs["logprobs"].to_torch()


def gap_of(sampled, trainer, datum):
    """The largest distance over the tokens that were sampled."""
    mask = datum.loss_fn_inputs["mask"].to_torch() > 0
    return float((sampled[mask] - trainer[mask]).abs().max())


def as_scored(datum):
    targets = datum.loss_fn_inputs["target_tokens"]
    weights = tinker.TensorData.from_torch(torch.ones(len(targets.data)))
    return tinker.Datum(model_input=datum.model_input, loss_fn_inputs={"target_tokens": targets, "weights": weights})


def preferences():
    rows = run("preference.dpo.train", batch_size=8, max_length=256, learning_rate=1e-3, max_steps=6)
    losses = values_of(rows, "dpo_loss")
    requires("DPO, loss", losses[-1] < losses[0], losses)


KL = "optim/kl_sample_train_v1"
# Of log-probabilities in nats, each of one token.
AGREEMENT = 1e-5
for part in PARTS or ("supervised", "reinforced", "mathematics", "preferences"):
    globals()[part]()

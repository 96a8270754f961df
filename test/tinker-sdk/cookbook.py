"""Recipes of the Tinker cookbook, as they are, on `aha serve --tinker`.

usage: cookbook.py URL BASE_MODEL MODEL_DIRECTORY LOG_DIRECTORY

What a recipe would fetch is in memory: its data set, its tokenizer. The reward of rl_loop is another one, since a random
model solves no school problem: the share of a letter in the answer.
"""

import json
import os
import runpy
import sys

import datasets
from transformers import AutoTokenizer

URL, BASE, MODEL, LOGS = sys.argv[1:5]
PARTS = sys.argv[5:]

from tinker_cookbook import tokenizer_utils  # noqa: E402
from tinker_cookbook.recipes.math_rl import math_grading  # noqa: E402

tokenizer_utils.register_tokenizer(BASE, lambda: AutoTokenizer.from_pretrained(MODEL))

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
datasets.load_dataset = lambda *_args, **_kwargs: datasets.DatasetDict(
    {"train": datasets.Dataset.from_list(ROWS), "test": datasets.Dataset.from_list(ROWS[:16])}
)
math_grading.extract_boxed = lambda response: response
math_grading.grade_answer = lambda given, _truth: given.count("e") >= 5


def run(name, **options):
    log = os.path.join(LOGS, f"{name}-{len(os.listdir(LOGS)) if os.path.isdir(LOGS) else 0}")
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
    for extra in ({}, {"max_steps_off_policy": 1}):
        options = {"env": "arithmetic", "group_size": 8, "groups_per_batch": 4, "max_tokens": 4, "learning_rate": 1e-3}
        options |= {"lora_rank": 8, "loss_fn": "importance_sampling", "compute_post_kl": True, "max_steps": 3}
        rows = run("math_rl.train", **options, **extra, eval_every=0, save_every=2)
        divergences = values_of(rows, KL)
        requires(f"math_rl {extra}, sampler against trainer", max(map(abs, divergences)) < 1e-5 or bool(extra), divergences)


def preferences():
    rows = run("preference.dpo.train", batch_size=8, max_length=256, learning_rate=1e-3, max_steps=6)
    losses = values_of(rows, "dpo_loss")
    requires("DPO, loss", losses[-1] < losses[0], losses)


KL = "optim/kl_sample_train_v1"
for part in PARTS or ("supervised", "reinforced", "mathematics", "preferences"):
    globals()[part]()

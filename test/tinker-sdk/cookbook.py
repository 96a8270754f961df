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

from tinker_cookbook import tokenizer_utils  # noqa: E402
from tinker_cookbook.recipes.math_rl import math_grading  # noqa: E402

tokenizer_utils.register_tokenizer(BASE, lambda: AutoTokenizer.from_pretrained(MODEL))

ROWS = [
    {
        "question": f"What is {i} and {i}?",
        "answer": f"Twice {i} is #### {2 * i}",
        "messages": [{"role": "user", "content": f"Say {i % 5}."}, {"role": "assistant", "content": f"Here it is: {i % 5}."}],
    }
    for i in range(512)
]
datasets.load_dataset = lambda *_args, **_kwargs: datasets.DatasetDict({"train": datasets.Dataset.from_list(ROWS)})
math_grading.extract_boxed = lambda response: response
math_grading.grade_answer = lambda given, _truth: given.count("e") >= 5


def run(name, **options):
    log = os.path.join(LOGS, f"{name}-{options.get('loss_fn', '')}")
    sys.argv = [name, f"base_url={URL}", f"model_name={BASE}", f"log_path={log}"]
    sys.argv += [f"{key}={value}" for key, value in options.items()]
    runpy.run_module(f"tinker_cookbook.recipes.{name}", run_name="__main__")
    with open(os.path.join(log, "metrics.jsonl")) as file:
        return [json.loads(line) for line in file]


def requires(what, condition, values):
    print(f"{what}: {' '.join(f'{v:.3f}' for v in values)}")
    if not condition:
        raise SystemExit(f"{what}: not as it should be")


rows = run("sl_loop", batch_size=16, learning_rate=5e-3, lora_rank=8, max_steps=12, save_every=5)
losses = [row["train_mean_nll"] for row in rows if "train_mean_nll" in row]
requires("sl_loop, loss", losses[-1] < 0.7 * losses[0], losses)

for loss in ("importance_sampling", "gspo", "cispo"):
    options = {"batch_size": 4, "group_size": 16, "max_tokens": 16, "learning_rate": 1e-2, "lora_rank": 8, "save_every": 5}
    rows = run("rl_loop", **options, max_steps=14, loss_fn=loss)
    rewards = [row["reward/total"] for row in rows if "reward/total" in row]
    third = len(rewards) // 3
    rises = sum(rewards[-third:]) > sum(rewards[:third])
    requires(f"rl_loop, {loss}, reward", rises, rewards)

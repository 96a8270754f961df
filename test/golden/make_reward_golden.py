"""Golden scores of TRL's rewards, for test/rewards/golden.test.ts.

    /opt/peers/bin/python test/golden/make_reward_golden.py

TRL counts tokens where Aha counts words: a completion of ids is given to Aha as those numbers with spaces between them.
cosine is scored for known verdicts (TRL's own accuracy_reward needs math-verify): its accuracy is replaced.
"""

import json
import pathlib
import random

import trl
import trl.rewards.accuracy_rewards as accuracy_rewards
from trl.rewards import (
    get_cosine_scaled_reward,
    get_repetition_penalty_reward,
    get_soft_overlong_punishment,
    think_format_reward,
)

rng = random.Random(7)

texts = [
    "<think>\nThis is my reasoning.\n</think>\nThis is my answer.",
    "<think>\nThis is my reasoning.\nThis is my answer.",
    "<think></think>",
    "<think>a</think>b</think>c",
    "<think>a<think>b</think>c",
    "<think>a</think><think>b</think>",
    " <think>a</think>b",
    "a<think>b</think>",
    "</think><think>",
    "",
]
think_format = [
    {"completion": text, "score": score}
    for text, score in zip(texts, think_format_reward([[{"content": text}] for text in texts]))
]

overlong = []
for limit, cache in [(100, 20), (20480, 4096), (10, 10), (7, 3), (5, 0)]:
    lengths = sorted({0, 1, limit - cache, limit - cache + 1, limit - 1, limit, limit + 1, 2 * limit})
    reward = get_soft_overlong_punishment(limit, cache)
    for length, score in zip(lengths, reward([[1] * length for length in lengths])):
        overlong.append({"maxTokens": limit, "cacheTokens": cache, "completionTokens": length, "score": score})

repetition = []
for size, penalty in [(1, -1.0), (2, -1.0), (3, -0.1), (3, -1.0), (5, -2.0)]:
    ids = [[], [1], [1, 2, 3, 4], [5, 5, 5, 5, 5], [1, 2, 1, 2, 1, 2, 1]]
    ids += [[rng.randrange(4) for _ in range(rng.randrange(3, 60))] for _ in range(6)]
    reward = get_repetition_penalty_reward(size, penalty)
    for one, score in zip(ids, reward(ids)):
        repetition.append({"ngramSize": size, "maxPenalty": penalty, "ids": one, "score": score})

cosine = []
for correct in [True, False]:
    accuracy_rewards.accuracy_reward = lambda completions, solution, correct=correct: [float(correct)] * len(completions)
    reward = get_cosine_scaled_reward(
        max_len=1000, min_value_wrong=-0.5, max_value_wrong=-0.1, min_value_correct=0.8, max_value_correct=1.0
    )
    lengths = [0, 1, 100, 250, 499, 500, 501, 900, 999, 1000, 1001, 1500, 2000, 5000]
    scores = reward([None] * len(lengths), [None] * len(lengths), [[1] * length for length in lengths])
    for length, score in zip(lengths, scores):
        cosine.append({"correct": correct, "completionTokens": length, "score": score})

path = pathlib.Path(__file__).with_name("rewards.json")
golden = {
    "generator": "test/golden/make_reward_golden.py",
    "versions": {"trl": trl.__version__},
    "tolerance": 1e-12,
    "think_format": think_format,
    "soft_overlong": overlong,
    "repetition_penalty": repetition,
    "cosine": cosine,
}
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")

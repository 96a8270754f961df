"""lm-eval, unmodified, on a checkpoint by its own transformers backend and on the same checkpoint served by Aha.

    python compare.py CHECKPOINT URL NAME TASKS [--sentencepiece] [--chat]

Prints a JSON line {"compared", "largest", "differences"}: how many answers were compared, the largest distance of two
log-probabilities, and every answer that differs (a sum of log-probabilities by more than 1e-4, greedy or not, a text).
"""

import argparse
import json
import logging
import os
import sys

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import lm_eval  # noqa: E402
from lm_eval.tasks import TaskManager  # noqa: E402

TOLERANCE = 1e-4
SCORED = ["aha_choices", "aha_texts"]
GENERATED = ["aha_continuations"]


def evaluate(manager, tasks, model, arguments, **options):
    result = lm_eval.simple_evaluate(
        model=model,
        model_args=arguments,
        tasks=tasks,
        task_manager=manager,
        log_samples=True,
        bootstrap_iters=0,
        verbosity="ERROR",
        **options,
    )
    return {
        (task, sample["doc_id"], i): response
        for task, samples in result["samples"].items()
        for sample in samples
        for i, response in enumerate(answers(sample["resps"]))
    }


def answers(responses):
    """The innermost answers: (log-probability, greedy), a log-probability, or a text."""
    for response in responses:
        if isinstance(response, list) and response and isinstance(response[0], (list, tuple, str, float)):
            yield from response if not isinstance(response[0], float) else [response]
        else:
            yield response


def number(response):
    return float(response[0] if isinstance(response, (list, tuple)) else response)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("checkpoint")
    parser.add_argument("url")
    parser.add_argument("name")
    parser.add_argument("tasks")
    parser.add_argument("--sentencepiece", action="store_true")
    parser.add_argument("--chat", action="store_true")
    parser.add_argument("--no-remote", action="store_true")
    parser.add_argument("--max-length", type=int, default=160)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    manager = TaskManager(include_path=options.tasks, include_defaults=False)
    hf = {"pretrained": options.checkpoint, "dtype": "float32", "add_bos_token": False}
    api = {"model": options.name, "max_length": options.max_length, "max_retries": 1}
    completions = {**api, "base_url": f"{options.url}/v1/completions"}
    own = {"tokenizer": options.checkpoint, "tokenizer_backend": "huggingface"}
    remote = own if options.no_remote else {}
    runs = [
        (SCORED + GENERATED, "local-completions", {**completions, **own}, {}),
        # Many at once, and the server's own tokenizer, which is lm-eval's default where a server has one.
        (SCORED, "local-completions", {**completions, **remote, "num_concurrent": 4, "batch_size": 5}, {}),
    ]
    if options.chat:
        chats = {**api, "base_url": f"{options.url}/v1/chat/completions"}
        runs.append((GENERATED, "local-chat-completions", {**chats, "num_concurrent": 3}, {"apply_chat_template": True}))

    compared, largest, differences = 0, 0.0, []
    for tasks, model, arguments, further in runs:
        expected = evaluate(manager, tasks, "hf", hf, device="cpu", batch_size=1, **further)
        actual = evaluate(manager, tasks, model, arguments, **further)
        if expected.keys() != actual.keys():
            raise SystemExit(f"{model}: other answers than the transformers backend: {expected.keys() ^ actual.keys()}")
        for key, own in expected.items():
            compared += 1
            given = actual[key]
            if isinstance(own, str):
                # transformers decodes a continuation as a text of its own, without the space that it begins with.
                same = own == (given.removeprefix(" ") if options.sentencepiece else given)
            else:
                distance = abs(number(own) - number(given))
                largest = max(largest, distance)
                same = distance <= TOLERANCE
                if isinstance(own, (list, tuple)) and len(own) > 1 and isinstance(given, (list, tuple)):
                    same = same and bool(own[1]) == bool(given[1])
            if not same:
                differences.append({"by": model, "answer": list(map(str, key)), "hf": own, "aha": given})
    print(json.dumps({"compared": compared, "largest": largest, "differences": differences}, default=str))


sys.exit(main())

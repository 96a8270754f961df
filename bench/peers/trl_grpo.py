"""TRL's GRPOTrainer without vLLM on the CPU: seconds per step of the work that `bench/grpo.ts` does.

usage: trl_grpo.py MODEL_DIR [--prompts 8 --group 8 --tokens 128 --steps 4 --beta 0.001 --threads 2]
                   [--lora RANK] [--gradient-checkpointing]
"""
import argparse
import json
import os
import random
import re
import resource
import statistics
import tempfile
import time
import warnings

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
warnings.filterwarnings("ignore")
import torch
from datasets import Dataset
from transformers import AutoTokenizer, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

parser = argparse.ArgumentParser()
parser.add_argument("model")
for name, default in [("prompts", 8), ("group", 8), ("tokens", 128), ("steps", 4), ("threads", 2), ("lora", 0)]:
    parser.add_argument(f"--{name}", type=int, default=default)
parser.add_argument("--beta", type=float, default=0.001)
parser.add_argument("--gradient-checkpointing", action="store_true")
options = parser.parse_args()
torch.set_num_threads(options.threads)
random.seed(0)


def problem():
    nums, target = [random.randint(1, 99) for _ in range(3)], random.randint(10, 99)
    return {"prompt": f"Using the numbers {nums}, create an equation that equals {target}.\n<think>", "nums": nums, "target": target}


def format_reward(completions, **_):
    return [float(bool(re.search(r"^([^<]*)</think>\n<answer>([\s\S]*?)</answer>$", text))) for text in completions]


def distinct_characters(completions, **_):  # keeps the advantages of a random model from being zero
    return [len(set(text)) / 100 for text in completions]


times = []


class Clock(TrainerCallback):
    def on_step_begin(self, *_, **__):
        self.start = time.perf_counter()

    def on_step_end(self, *_, **__):
        times.append(time.perf_counter() - self.start)


config = GRPOConfig(
    output_dir=tempfile.mkdtemp(), per_device_train_batch_size=options.prompts * options.group, num_generations=options.group,
    max_completion_length=options.tokens, max_steps=options.steps + 1, learning_rate=5e-7, beta=options.beta, temperature=1.0,
    save_strategy="no", report_to=[], use_cpu=True, bf16=False, gradient_checkpointing=options.gradient_checkpointing, disable_tqdm=True,
    generation_kwargs={"min_new_tokens": options.tokens}, loss_type="grpo", model_init_kwargs={"dtype": "float32"},
)  # fmt: skip
adapter = None
if options.lora > 0:
    from peft import LoraConfig

    adapter = LoraConfig(r=options.lora, lora_alpha=2 * options.lora, target_modules="all-linear", task_type="CAUSAL_LM")
GRPOTrainer(
    model=options.model, reward_funcs=[format_reward, distinct_characters], args=config, callbacks=[Clock()], peft_config=adapter,
    train_dataset=Dataset.from_list([problem() for _ in range(512)]), processing_class=AutoTokenizer.from_pretrained(options.model),
).train()  # fmt: skip
seconds = statistics.median(times[1:] or times)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
rate = options.prompts * options.group * options.tokens / seconds
print(json.dumps({"s_per_step": seconds, "tokens_per_s": rate, "peak_memory_mib": peak}))

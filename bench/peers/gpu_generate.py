"""transformers on a GPU, in bfloat16, on a model of a given shape with random weights: new tokens per second of `generate`, or
tokens per second of forward + backward, or both. The work of `bench/sample.ts` and `bench/train.ts`; `bench/gpu.sh` runs it.

usage: gpu_generate.py --config CONFIG.json [--work decode train] [--batch 64 --prompt 128 --tokens 128] [--rows 16 --length 1024]
"""
import argparse
import json
import statistics
import time
import warnings

warnings.filterwarnings("ignore")
import torch
from transformers import AutoConfig, AutoModelForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("--config", required=True)
parser.add_argument("--work", nargs="+", choices=["decode", "train"], default=["decode"])
for name, default in [("batch", 64), ("prompt", 128), ("tokens", 128), ("rows", 16), ("length", 1024), ("repeat", 1)]:
    parser.add_argument(f"--{name}", type=int, default=default)
options = parser.parse_args()
device = "cuda" if torch.cuda.is_available() else "cpu"
torch.manual_seed(0)
with open(options.config) as file:
    settings = json.load(file)
config = AutoConfig.for_model(settings.pop("model_type"), **settings)
with torch.device(device):
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
model.generation_config.eos_token_id = None


def seconds(work) -> float:
    times = []
    for _ in range(options.repeat + 1):
        start = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def generate() -> None:
    prompts = torch.randint(3, config.vocab_size, (options.batch, options.prompt), device=device)
    model.generate(input_ids=prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=options.tokens,
                   min_new_tokens=options.tokens, do_sample=True, pad_token_id=0)  # fmt: skip


def forward_backward() -> None:
    # Four rows at a time: logits of all of them would take tens of gigabytes.
    tokens = torch.randint(3, config.vocab_size, (options.rows, options.length), device=device)
    model.zero_grad()
    for rows in tokens.split(4):
        logits = model(rows, use_cache=False).logits
        loss = torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]).float(), rows[:, 1:].reshape(-1))
        (loss * len(rows) / options.rows).backward()


result = {"bench": "peer"}
if "decode" in options.work:
    model.eval()
    took = seconds(generate)
    result |= {"decode_tokens_per_s": options.batch * options.tokens / took, "decode_s": took}
if "train" in options.work:
    model.train()
    model.gradient_checkpointing_enable()
    took = seconds(forward_backward)
    result |= {"forward_backward_tokens_per_s": options.rows * options.length / took, "train_s": took}
peak = torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else None
print(json.dumps({**result, "device": device, "peak_memory_mib": peak}))

"""transformers' generate with its key-value cache: new tokens per second of the work that `bench/sample.ts` does.

usage: hf_generate.py MODEL_DIR [--batch 64 --prompt 32 --tokens 128 --threads 2 --repeat 3] [--lora RANK]
"""
import argparse
import json
import resource
import statistics
import time
import warnings

warnings.filterwarnings("ignore")
import torch
from transformers import AutoModelForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("model")
for name, default in [("batch", 64), ("prompt", 32), ("tokens", 128), ("threads", 2), ("repeat", 3), ("lora", 0)]:
    parser.add_argument(f"--{name}", type=int, default=default)
options = parser.parse_args()
torch.set_num_threads(options.threads)
torch.manual_seed(0)
model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
if options.lora > 0:
    from peft import LoraConfig, get_peft_model

    adapter = LoraConfig(r=options.lora, lora_alpha=2 * options.lora, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, adapter).eval()
prompts = torch.randint(3, model.config.vocab_size, (options.batch, options.prompt))
times = []
for _ in range(options.repeat + 1):
    start = time.perf_counter()
    model.generate(input_ids=prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=options.tokens,
                   min_new_tokens=options.tokens, do_sample=True, pad_token_id=0)  # fmt: skip
    times.append(time.perf_counter() - start)
seconds = statistics.median(times[1:])
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"seconds": seconds, "tokens_per_s": options.batch * options.tokens / seconds, "peak_memory_mib": peak}))

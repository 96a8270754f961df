"""PyTorch eager, forward and forward + backward of the next-token loss: the work that `bench/train.ts` does.

usage: torch_step.py MODEL_DIR [--batch 64 --length 192 --threads 2 --repeat 3] [--lora RANK]
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
for name, default in [("batch", 64), ("length", 192), ("threads", 2), ("repeat", 3), ("lora", 0)]:
    parser.add_argument(f"--{name}", type=int, default=default)
options = parser.parse_args()
torch.set_num_threads(options.threads)
torch.manual_seed(0)
model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
if options.lora > 0:
    from peft import LoraConfig, get_peft_model

    adapter = LoraConfig(r=options.lora, lora_alpha=2 * options.lora, target_modules="all-linear", task_type="CAUSAL_LM")
    model = get_peft_model(model, adapter)
tokens = torch.randint(3, model.config.vocab_size, (options.batch, options.length))


def forward():
    with torch.no_grad():
        model(tokens, use_cache=False)


def forward_backward():
    model.zero_grad()
    logits = model(tokens, use_cache=False).logits
    torch.nn.functional.cross_entropy(logits[:, :-1].reshape(-1, logits.shape[-1]), tokens[:, 1:].reshape(-1)).backward()


def rate(work):
    times = []
    for _ in range(options.repeat + 1):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return options.batch * options.length / statistics.median(times[1:])


figures = {"forward_tokens_per_s": rate(forward), "forward_backward_tokens_per_s": rate(forward_backward)}
print(json.dumps({**figures, "peak_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}))

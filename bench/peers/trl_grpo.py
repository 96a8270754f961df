"""TRL's GRPOTrainer without vLLM: seconds per step of the work that `bench/grpo.ts` does, or, on a model of a given shape with
random weights, of the work that `bench/step.ts` does (`bench/gpu.sh` runs that, on a GPU in bfloat16).

usage: trl_grpo.py MODEL_DIR [--prompts 8 --group 8 --tokens 128 --steps 4 --beta 0.001 --threads 2]
                   [--lora RANK] [--gradient-checkpointing]
       trl_grpo.py --config CONFIG.json --prompt 256 [--batch 8] …

--batch: sequences of a forward and backward pass (all of them). With --steps 0 the first step is the one that counts.
"""
import argparse
import json
import os
import random
import re
import resource
import statistics
import sys
import tempfile
import time
import warnings

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
if "--config" in sys.argv:  # nothing is asked of the Hub
    os.environ["HF_HUB_OFFLINE"] = "1"
warnings.filterwarnings("ignore")
import torch
import trl
from datasets import Dataset
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

parser = argparse.ArgumentParser()
parser.add_argument("model", nargs="?")
parser.add_argument("--config")
for name, default in [("prompts", 8), ("group", 8), ("prompt", 256), ("tokens", 128), ("steps", 4), ("threads", 2), ("lora", 0),
                      ("batch", 0)]:  # fmt: skip
    parser.add_argument(f"--{name}", type=int, default=default)
parser.add_argument("--beta", type=float, default=0.001)
parser.add_argument("--gradient-checkpointing", action="store_true")
options = parser.parse_args()
if (options.model is None) == (options.config is None):
    parser.error("either MODEL_DIR or --config is needed")
torch.set_num_threads(options.threads)
torch.manual_seed(0)
random.seed(0)
# A model directory is compared on the CPU; a shape wherever there is a GPU.
on_gpu = options.config is not None and torch.cuda.is_available()
dtype = "bfloat16" if on_gpu else "float32"


def problem():
    nums, target = [random.randint(1, 99) for _ in range(3)], random.randint(10, 99)
    return {"prompt": f"Using the numbers {nums}, create an equation that equals {target}.\n<think>", "nums": nums, "target": target}


def random_prompt(vocab_size: int):
    return {"prompt": " ".join(f"t{random.randrange(3, vocab_size)}" for _ in range(options.prompt))}


def word_tokenizer(vocab_size: int) -> PreTrainedTokenizerFast:
    """A tokenizer of as many words, t0 …, as the model has tokens."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({f"t{i}": i for i in range(vocab_size)}, unk_token="t0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="t0", eos_token="t1", unk_token="t0")


def random_model():
    with open(options.config) as file:
        settings = json.load(file)
    config = AutoConfig.for_model(settings.pop("model_type"), **settings)
    with torch.device("cuda" if on_gpu else "cpu"):
        return AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype))


def format_reward(completions, **_):
    return [float(bool(re.search(r"^([^<]*)</think>\n<answer>([\s\S]*?)</answer>$", text))) for text in completions]


def distinct_characters(completions, **_):  # keeps the advantages of a random model from being zero
    return [len(set(text)) / 100 for text in completions]


def sum_of_characters(completions, **_):  # the same where all words have the same characters
    return [sum(map(ord, text)) % 101 / 100 for text in completions]


def now() -> float:
    if on_gpu:
        torch.cuda.synchronize()
    return time.perf_counter()


times, generating = [], []


class Clock(TrainerCallback):
    def on_step_begin(self, *_, **__):
        self.start = now()
        self.generated = len(generating)

    def on_step_end(self, *_, **__):
        times.append((now() - self.start, sum(generating[self.generated :])))


def timed(generate):
    def run(*args, **kwargs):
        start = now()
        result = generate(*args, **kwargs)
        generating.append(now() - start)
        return result

    return run


if options.config:
    model = random_model()
    model.generate = timed(model.generate)
    vocab_size = model.config.vocab_size
    tokenizer = word_tokenizer(vocab_size)
    rows = [random_prompt(vocab_size) for _ in range(options.prompts * (options.steps + 1))]
    model_options, rewards = {}, [sum_of_characters]
else:
    model, tokenizer = options.model, AutoTokenizer.from_pretrained(options.model)
    rows = [problem() for _ in range(512)]
    model_options, rewards = {"model_init_kwargs": {"dtype": dtype}}, [format_reward, distinct_characters]
sequences = options.prompts * options.group
batch = options.batch or sequences
config = GRPOConfig(
    output_dir=tempfile.mkdtemp(), per_device_train_batch_size=batch, gradient_accumulation_steps=sequences // batch,
    num_generations=options.group, max_completion_length=options.tokens, max_steps=options.steps + 1, learning_rate=5e-7,
    beta=options.beta, temperature=1.0, save_strategy="no", report_to=[], use_cpu=not on_gpu, bf16=on_gpu,
    gradient_checkpointing=options.gradient_checkpointing, disable_tqdm=True,
    generation_kwargs={"min_new_tokens": options.tokens}, loss_type="grpo", **model_options,
)  # fmt: skip
adapter = None
if options.lora > 0:
    from peft import LoraConfig

    adapter = LoraConfig(r=options.lora, lora_alpha=2 * options.lora, target_modules="all-linear", task_type="CAUSAL_LM")
GRPOTrainer(
    model=model, reward_funcs=rewards, args=config, callbacks=[Clock()], peft_config=adapter,
    train_dataset=Dataset.from_list(rows), processing_class=tokenizer,
).train()  # fmt: skip
counted = times[1:] or times
seconds = statistics.median(step for step, _ in counted)
peak = torch.cuda.max_memory_allocated() / 2**20 if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
result = {"s_per_step": seconds, "tokens_per_s": sequences * options.tokens / seconds, "peak_memory_mib": peak}
if options.config:
    shape = {name: getattr(options, name) for name in ("prompts", "group", "prompt", "tokens")}
    generated = statistics.median(generate for _, generate in counted)
    result = {"bench": "step", **shape, **result, "generate_s": generated, "train_s": seconds - generated, "device": "cuda" if on_gpu else "cpu",
              "dtype": dtype, "by": f"trl {trl.__version__}, generation by transformers"}  # fmt: skip
print(json.dumps(result))

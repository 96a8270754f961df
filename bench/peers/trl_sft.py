"""TRL's SFTTrainer on the CPU: tokens per second on the rows that `bench/sft.ts` trains on, in the same steps.

usage: trl_sft.py MODEL_DIR --file ROWS.json [--rows 32 --steps 4 --threads 2] [--lora RANK] [--packing]

ROWS.json lists {"prompt": [ids], "completion": [ids]}, `rows` of them a step, one step more than is counted. Without
--packing a step is padded to its longest row (TRL's default); with it, rows are packed into sequences as long as a step's
rows together, one a step. Tokens are those of rows; padding counts as time alone.
"""
import argparse
import json
import os
import resource
import statistics
import tempfile
import time
import warnings

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
warnings.filterwarnings("ignore")
import torch
from datasets import Dataset
from torch.utils.data import SequentialSampler
from transformers import AutoTokenizer, TrainerCallback
from trl import SFTConfig, SFTTrainer

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("--file", required=True)
for name, default in [("rows", 32), ("steps", 4), ("threads", 2), ("lora", 0)]:
    parser.add_argument(f"--{name}", type=int, default=default)
parser.add_argument("--packing", action="store_true")
options = parser.parse_args()
torch.set_num_threads(options.threads)

with open(options.file) as file:
    rows = json.load(file)
lengths = [len(row["prompt"]) + len(row["completion"]) for row in rows]
per_step = max(sum(lengths[i : i + options.rows]) for i in range(0, len(rows), options.rows))
data = [
    {"input_ids": row["prompt"] + row["completion"], "completion_mask": [0] * len(row["prompt"]) + [1] * len(row["completion"])}
    for row in rows
]

seconds, tokens, losses = [], [], []


class Clock(TrainerCallback):
    def on_step_begin(self, *_, **__):
        self.start = time.perf_counter()

    def on_step_end(self, *_, **__):
        seconds.append(time.perf_counter() - self.start)


class InOrder(SFTTrainer):
    def _get_train_sampler(self, dataset=None):
        return SequentialSampler(self.train_dataset if dataset is None else dataset)

    def compute_loss(self, model, inputs, *args, **kwargs):
        mask = inputs.get("attention_mask")
        tokens.append(int(inputs["input_ids"].numel() if mask is None else mask.sum()))
        result = super().compute_loss(model, inputs, *args, **kwargs)
        losses.append(float(result[0] if isinstance(result, tuple) else result))
        return result


config = SFTConfig(
    output_dir=tempfile.mkdtemp(), per_device_train_batch_size=1 if options.packing else options.rows, max_steps=options.steps + 1,
    max_length=per_step if options.packing else None, packing=options.packing, completion_only_loss=True, learning_rate=1e-5,
    lr_scheduler_type="constant", max_grad_norm=1.0, save_strategy="no", report_to=[], use_cpu=True, bf16=False,
    gradient_checkpointing=False, disable_tqdm=True, model_init_kwargs={"dtype": "float32"},
)  # fmt: skip
adapter = None
if options.lora > 0:
    from peft import LoraConfig

    adapter = LoraConfig(r=options.lora, lora_alpha=2 * options.lora, target_modules="all-linear", task_type="CAUSAL_LM")
InOrder(
    model=options.model, args=config, callbacks=[Clock()], peft_config=adapter,
    train_dataset=Dataset.from_list(data), processing_class=AutoTokenizer.from_pretrained(options.model),
).train()  # fmt: skip
counted = slice(1, None) if len(seconds) > 1 else slice(None)
rate = statistics.median(count / time for count, time in zip(tokens[counted], seconds[counted]))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({"s_per_step": statistics.median(seconds[counted]), "tokens_per_s": rate, "first_loss": losses[0], "peak_memory_mib": peak}))

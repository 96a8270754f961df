"""PEFT's log-probabilities under an adapter that Aha saved, and a check of its files against what PEFT itself would save.

usage: OMP_NUM_THREADS=1 python test/golden/check_saved_adapter.py ADAPTER TOKENS.json [--base DIR]
TOKENS.json: an array of arrays of token ids. Prints what `aha model score ADAPTER --tokens TOKENS.json --json` prints.
Fails where PEFT does not use every tensor of the file, misses one, or would save other names or shapes.
"""
import argparse
import json
import pathlib

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("adapter")
parser.add_argument("tokens")
parser.add_argument("--base")
options = parser.parse_args()

config = LoraConfig.from_pretrained(options.adapter)
base = AutoModelForCausalLM.from_pretrained(
    options.base or config.base_model_name_or_path, attn_implementation="eager"
).float()
model = PeftModel.from_pretrained(base, options.adapter).eval()
stored = load_file(pathlib.Path(options.adapter) / "adapter_model.safetensors")
loaded = get_peft_model_state_dict(model)
assert stored.keys() == loaded.keys(), sorted(stored.keys() ^ loaded.keys())
for name, tensor in stored.items():
    assert torch.equal(tensor, loaded[name]), name
with open(options.tokens) as file:
    sequences = json.load(file)
result = []
with torch.no_grad():
    for tokens in sequences:
        rows = torch.log_softmax(model(torch.tensor([tokens])).logits[0], dim=-1)
        result.append([float(rows[i, token]) for i, token in enumerate(tokens[1:])])
print(json.dumps(result))

"""transformers' log-probabilities of token arrays under a checkpoint that Aha saved.

usage: OMP_NUM_THREADS=1 python test/golden/check_saved_model.py DIR TOKENS.json [--temperature T]
TOKENS.json: an array of arrays of token ids. Prints what `aha model score DIR --tokens TOKENS.json --json` prints: for
each array the log-probabilities of its tokens 1 … n − 1, each given those before it.
"""
import argparse
import json

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

parser = argparse.ArgumentParser()
parser.add_argument("directory")
parser.add_argument("tokens")
parser.add_argument("--temperature", type=float, default=1.0)
options = parser.parse_args()

model, loading = AutoModelForCausalLM.from_pretrained(
    options.directory, attn_implementation="eager", output_loading_info=True
)
assert model.dtype == torch.float32, model.dtype
assert not any(loading[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), loading
model.eval()
AutoTokenizer.from_pretrained(options.directory)
with open(options.tokens) as file:
    sequences = json.load(file)
with torch.no_grad():
    result = []
    for tokens in sequences:
        rows = torch.log_softmax(model(torch.tensor([tokens])).logits[0] / options.temperature, dim=-1)
        result.append([float(rows[i, token]) for i, token in enumerate(tokens[1:])])
print(json.dumps(result))

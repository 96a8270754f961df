"""python compare.py FILE.gguf CONVERTED OURS.json: what transformers reads in a GGUF file, beside what Aha made of it.

OURS.json has texts, ids (token ids of the texts; of other sequences where there are no texts) and scores: for each
sequence the log-probabilities of its tokens from the second on. Prints one JSON object; run.ts says what it means.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

file, converted, ours = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(Path(sys.argv[3]).read_text())
model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32).eval()

tensors = {name: tensor for path in sorted(converted.glob("*.safetensors")) for name, tensor in load_file(path).items()}
theirs = model.state_dict()
differing = [name for name, tensor in tensors.items() if name not in theirs or not torch.equal(tensor.float(), theirs[name])]
# What has no file of its own is tied to another one.
tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
differing += sorted(set(theirs) - set(tensors) - tied)

texts = []
if ours["texts"]:
    of_file = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    of_converted = AutoTokenizer.from_pretrained(converted)
    for text, ids in zip(ours["texts"], ours["ids"], strict=True):
        # transformers passes over tokenizer.ggml.pre, which cuts SmolLM2's text at every number: ² and ١, too.
        has_other_numbers = any(c.isnumeric() and not c.isascii() for c in text)
        readers = [of_converted] if has_other_numbers else [of_converted, of_file]
        if any(reader(text, add_special_tokens=False)["input_ids"] != ids for reader in readers):
            texts.append(text)

largest, tokens = 0.0, 0
with torch.no_grad():
    for ids, scores in zip(ours["ids"], ours["scores"], strict=True):
        sequence = torch.tensor([ids])
        logprobs = torch.log_softmax(model(sequence).logits[0, :-1].double(), -1).gather(1, sequence[0, 1:, None])[:, 0]
        distance = (logprobs - torch.tensor(scores, dtype=torch.float64)).abs().max().item()
        if not distance == distance:
            distance = float("inf")
        largest, tokens = max(largest, distance), tokens + len(scores)

print(json.dumps({"tensors": len(tensors), "differing": differing, "texts": texts, "largest": min(largest, 1e300), "tokens": tokens}))

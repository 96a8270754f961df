"""transformers' log-probabilities on models that Aha trained and saved, against Aha's own.

usage: npx tsx test/golden/write-trained-models.ts OUT && OMP_NUM_THREADS=1 python test/golden/check_trained_models.py OUT
Prints the largest difference for each model and fails above 1e-4. Nothing may be missing or left over when they load.
"""
import json
import pathlib
import sys

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

TOLERANCE = 1e-4

worst = 0.0
for record in sorted(pathlib.Path(sys.argv[1]).glob("*.json")):
    directory = record.with_suffix("")
    expected = json.loads(record.read_text())
    # In float32 from the start: Gemma's embedding scale is rounded to the dtype that a model is loaded in.
    model, loading = AutoModelForCausalLM.from_pretrained(
        directory, attn_implementation="eager", output_loading_info=True, dtype=torch.float32
    )
    stored = str(AutoConfig.from_pretrained(directory).dtype).removeprefix("torch.")
    assert stored == ("bfloat16" if directory.name.endswith("-bf16") else "float32"), stored
    assert not any(loading[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys")), loading
    if (directory / "tokenizer.json").exists():
        assert AutoTokenizer.from_pretrained(directory).chat_template
    model = model.eval()
    largest = 0.0
    with torch.no_grad():
        for tokens, logprobs in zip(expected["tokens"], expected["logprobs"], strict=True):
            rows = torch.log_softmax(model(torch.tensor([tokens])).logits[0], dim=-1)
            found = [float(rows[i, token]) for i, token in enumerate(tokens[1:])]
            largest = max(largest, *(abs(a - b) for a, b in zip(found, logprobs, strict=True)))
    print(f"{directory.name:24} {stored:9} {largest:.2e}")
    worst = max(worst, largest)
assert worst < TOLERANCE, worst

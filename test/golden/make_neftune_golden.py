"""Golden numbers of SFT with noise on embeddings: transformers' own hook (`neftune_post_forward_hook`), one sequence at a
time, with Aha's counted noise where it draws (`torch.Tensor.uniform_`). So the hook's bound and place are compared, and this
file is a second implementation of the noise.

usage: /opt/peers/bin/python test/golden/make_neftune_golden.py   (writes test/golden/neftune.json)
"""
import json
import random
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM
from transformers.integrations.neftune import neftune_post_forward_hook

HERE = Path(__file__).parent
MODEL, ALPHA, SEED = "qwen3-untied", 5.0, 11
LENGTHS = [(7, 9), (1, 3), (4, 12)]  # tokens of prompt and completion
M32, M64 = 2**32 - 1, 2**64 - 1


def philox(key, counter):
    (k0, k1), c = key, list(counter)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k0, b & M32, (a >> 32) ^ c[3] ^ k1, a & M32]
        k0, k1 = (k0 + 0x9E3779B9) & M32, (k1 + 0xBB67AE85) & M32
    return c


def fnv(text):
    code = 0x811C9DC5
    for letter in text:
        code = ((code ^ ord(letter)) * 0x01000193) & M32
    return code


def noise(datum, position, width):
    """ε in [−1, 1] of one embedding, at step 0."""
    a0, a1, b0, b1 = philox((SEED, fnv("noise on embeddings")), (position, datum, 0, 0))
    a, b = a1 << 32 | a0, b1 << 32 | b0
    row = []
    for i in range(width):
        line = (a * i + b) & M64
        code = (line ^ line >> 32) * 0x9E3779B97F4A7C15 & M64
        row.append((code - 2**64 if code >= 2**63 else code) / 2**63)
    return row


model = AutoModelForCausalLM.from_pretrained(HERE / "models" / MODEL, dtype=torch.float64).train()
embedding = model.get_input_embeddings()
embedding.padding_idx = None  # a pad token is a token like any other
embedding.neftune_noise_alpha = ALPHA
embedding.register_forward_hook(neftune_post_forward_hook)
drawn = {}
torch.Tensor.uniform_ = lambda self, low, high: self.copy_(drawn["noise"] * high)

generator = random.Random(3)
data, total = [], 0.0
for index, (prompt, completion) in enumerate(LENGTHS):
    tokens = [generator.randrange(model.config.vocab_size) for _ in range(prompt + completion)]
    weights = [round(generator.uniform(0.01, 0.1), 4) for _ in range(completion)]
    drawn["noise"] = torch.tensor([[noise(index, t, model.config.hidden_size) for t in range(len(tokens))]], dtype=torch.float64)
    logits = model(torch.tensor([tokens])).logits[0, prompt - 1 : -1]
    logprobs = torch.log_softmax(logits, -1).gather(-1, torch.tensor(tokens[prompt:])[:, None])[:, 0]
    loss = -(torch.tensor(weights, dtype=torch.float64) * logprobs).sum()
    loss.backward()
    total += loss.item()
    data.append({"prompt": tokens[:prompt], "completion": tokens[prompt:], "weights": weights, "logprobs": logprobs.tolist()})
norm = torch.sqrt(sum((p.grad**2).sum() for p in model.parameters())).item()
golden = {
    "generator": "make_neftune_golden.py", "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
    "tolerance": {"logprob": 1e-5, "lossRelative": 1e-5, "gradNormRelative": 1e-5},
    "model": MODEL, "alpha": ALPHA, "seed": SEED, "data": data, "loss": total, "gradNorm": norm,
}  # fmt: skip
(HERE / "neftune.json").write_text(json.dumps(golden, indent=1) + "\n")

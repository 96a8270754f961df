"""Logits after transformers' own processors, for test/compute/logit-rules.test.ts.

transformers has the repetition penalty (of prompt and completion) and min-p; frequency and presence penalty are OpenAI's
formula over the completion, computed here with numpy in double precision.

    python test/golden/make_sampler_golden.py > test/golden/sampler.json
"""

import json

import numpy as np
import torch
import transformers
from transformers import MinPLogitsWarper, RepetitionPenaltyLogitsProcessor

random = np.random.default_rng(7)
cases = []
for vocabulary, prompt_length, completion_length in [(12, 3, 4), (40, 20, 9), (7, 1, 0)]:
    for penalty, frequency, presence in [(1.3, 0.0, 0.0), (1.0, 0.7, -0.4), (0.6, 1.9, 0.5)]:
        logits = (3 * random.standard_normal(vocabulary)).astype(np.float32)
        prompt = random.integers(0, vocabulary, prompt_length)
        completion = random.integers(0, vocabulary, completion_length)
        biased = {int(token): float(np.float32(random.normal())) for token in random.integers(0, vocabulary, 2)}
        start = logits.copy()
        for token, bias in biased.items():
            start[token] += bias
        ids = torch.tensor(np.concatenate([prompt, completion]))[None]
        adjusted = RepetitionPenaltyLogitsProcessor(penalty)(ids, torch.tensor(start)[None])[0].double().numpy()
        counts = np.bincount(completion, minlength=vocabulary) if completion_length else np.zeros(vocabulary)
        adjusted = adjusted - frequency * counts - presence * (counts > 0)
        min_p = float(random.uniform(0.02, 0.5))
        kept = MinPLogitsWarper(min_p)(ids, torch.tensor(adjusted)[None])[0]
        cases.append(
            {
                "logits": logits.tolist(),
                "prompt": prompt.tolist(),
                "completion": completion.tolist(),
                "bias": sorted(biased.items()),
                "repetitionPenalty": penalty,
                "frequencyPenalty": frequency,
                "presencePenalty": presence,
                "adjusted": adjusted.tolist(),
                "minP": min_p,
                "kept": torch.nonzero(torch.isfinite(kept)).flatten().tolist(),
            }
        )
print(json.dumps({"generator": "make_sampler_golden.py", "transformers": transformers.__version__, "cases": cases}))

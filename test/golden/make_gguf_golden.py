"""Blocks of every quantised GGUF format that Aha reads, with what the Python package `gguf` decodes them to.

    python test/golden/make_gguf_golden.py > test/golden/gguf-blocks.json

Needs gguf and numpy. Bytes are random but for the f16 scales, which are small and finite (and some subnormal or negative).
Numbers are written as the hexadecimal bits of their f32, so that a comparison is exact.
"""

import json
from importlib.metadata import version

import numpy as np
from gguf import GGMLQuantizationType, quants
from gguf.constants import GGML_QUANT_SIZES

# Where the f16 numbers of a block are, by format.
SCALES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}
BLOCKS = 6

random = np.random.default_rng(7)
formats = {}
for name, places in SCALES.items():
    kind = GGMLQuantizationType[name]
    _, size = GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    for row in range(BLOCKS):
        for place in places:
            scale = np.array([random.normal() * [1e-3, 1, 3e-7][row % 3]], dtype=np.float16)
            blocks[row, place:place + 2] = scale.view(np.uint8)
    numbers = quants.dequantize(blocks, kind).astype(np.float32).reshape(-1)
    formats[name] = {
        "type": int(kind),
        "bytes": blocks.tobytes().hex(),
        "values": "".join(f"{bits:08x}" for bits in numbers.view(np.uint32)),
    }
print(json.dumps({"generator": "make_gguf_golden.py", "gguf": version("gguf"), "numpy": np.__version__, "formats": formats}, indent=1))

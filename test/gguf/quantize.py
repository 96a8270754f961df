"""python quantize.py FILE.gguf FOLDER: the same file once in every quantization that Aha reads.

Matrices in Q4_0 to Q8_0 are what the package gguf makes of the numbers. It does not make K-quants; there every block is
random, with scales that keep the numbers small: a reader has to give the same numbers for any block.
"""

import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Q
from gguf import GGUFReader, GGUFValueType, GGUFWriter
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import quantize

reader = GGUFReader(sys.argv[1])
folder = Path(sys.argv[2])
rng = np.random.default_rng(5)

# Of each K-quant: where the 16-bit scales of a block are, and how large they may be.
SCALES = {
    Q.Q2_K: ((80, 82), 1e-3),
    Q.Q3_K: ((108,), 5e-4),
    Q.Q4_K: ((0, 2), 6e-5),
    Q.Q5_K: ((0, 2), 3e-5),
    Q.Q6_K: ((208,), 1e-5),
}


def blocks(kind, shape):
    """Random blocks, as rows of bytes."""
    size, width = GGML_QUANT_SIZES[kind]
    data = rng.integers(0, 256, (shape[0], shape[1] // size, width), dtype=np.uint8)
    places, most = SCALES[kind]
    for place in places:
        scales = rng.uniform(-most, most, data.shape[:2]).astype(np.float16)
        data[:, :, place : place + 2] = scales[..., None].view(np.uint8)
    return data.reshape(shape[0], -1)


def write(kind):
    writer = GGUFWriter(folder / f"{kind.name}.gguf", reader.fields["general.architecture"].contents())
    for field in reader.fields.values():
        if field.name == "general.architecture" or field.name.startswith("GGUF."):
            continue
        inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
    for tensor in reader.tensors:
        values = np.array(tensor.data, dtype=np.float32)
        if values.ndim == 1:
            writer.add_tensor(tensor.name, values)
        else:
            data = blocks(kind, values.shape) if kind in SCALES else quantize(values, kind)
            writer.add_tensor(tensor.name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


for kind in [Q.F16, Q.BF16, Q.Q8_0, Q.Q4_0, Q.Q4_1, Q.Q5_0, Q.Q5_1, *SCALES]:
    write(kind)

"""A GGUF file with a small SentencePiece BPE tokenizer, and the tokens that SentencePiece itself gives texts.

    python test/golden/make_gguf_tokenizer_golden.py

Needs gguf, numpy, protobuf and sentencepiece. (transformers 5 reads such files with a pre-tokenizer that adds no space
before a text which begins with one; SentencePiece and llama.cpp add it.) Writes gguf/sentencepiece.gguf and gguf/sentencepiece.json beside this script. The
vocabulary is BPE, trained here on a few sentences; scores are minus the number of the merge, as SentencePiece has them.
"""

import json
import os
from collections import Counter

import numpy as np
import sentencepiece
from gguf import GGUFWriter, TokenType
from sentencepiece import sentencepiece_model_pb2

CORPUS = """the quick brown fox jumps over the lazy dog and the other dogs sleep. numbers like 12 and 345 are here.
using the numbers create an equation that equals the target. we use each number once and only once. thinking is hard."""
TEXTS = [
    "the quick brown fox", " leading space", "two  spaces", "the numbers 12345", "", "ünïcode 🙂 and 中文", "a\nb\tc",
    "thethethe", "equation equals target.",
]

here = os.path.join(os.path.dirname(os.path.abspath(__file__)), "gguf")
os.makedirs(here, exist_ok=True)

words = Counter("▁" + word for word in CORPUS.split())
pieces = {word: list(word) for word in words}
alphabet = sorted({character for word in words for character in word})
merges = []
while len(merges) < 120:
    pairs = Counter()
    for word, count in words.items():
        for pair in zip(pieces[word], pieces[word][1:]):
            pairs[pair] += count
    if not pairs:
        break
    best = max(pairs, key=lambda pair: (pairs[pair], pair))
    merges.append("".join(best))
    for word in words:
        merged = []
        for piece in pieces[word]:
            if merged and (merged[-1], piece) == best:
                merged[-1] += piece
            else:
                merged.append(piece)
        pieces[word] = merged
merges = list(dict.fromkeys(merges))

tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + merges + alphabet
types = [TokenType.UNKNOWN, TokenType.CONTROL, TokenType.CONTROL] + [TokenType.BYTE] * 256
types += [TokenType.NORMAL] * (len(merges) + len(alphabet))
scores = [0.0] * 259 + [-float(i) for i in range(len(merges) + len(alphabet))]

path = os.path.join(here, "sentencepiece.gguf")
writer = GGUFWriter(path, "llama")
writer.add_context_length(64)
writer.add_embedding_length(8)
writer.add_block_count(1)
writer.add_feed_forward_length(8)
writer.add_head_count(1)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_tokenizer_model("llama")
writer.add_token_list(tokens)
writer.add_token_scores(scores)
writer.add_token_types(types)
writer.add_bos_token_id(1)
writer.add_eos_token_id(2)
writer.add_unk_token_id(0)
random = np.random.default_rng(1)
def tensor(name, *shape):
    writer.add_tensor(name, random.normal(size=shape).astype(np.float32))
tensor("token_embd.weight", len(tokens), 8)
for name in ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"]:
    tensor(f"blk.0.{name}.weight", 8, 8)
for name in ["blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"]:
    tensor(f"{name}.weight", 8)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

model = sentencepiece_model_pb2.ModelProto()
model.trainer_spec.model_type = sentencepiece_model_pb2.TrainerSpec.BPE
model.trainer_spec.byte_fallback = True
model.trainer_spec.unk_id, model.trainer_spec.bos_id, model.trainer_spec.eos_id = 0, 1, 2
model.normalizer_spec.name = "identity"
model.normalizer_spec.add_dummy_prefix = True
model.normalizer_spec.remove_extra_whitespaces = False
KINDS = {TokenType.UNKNOWN: 2, TokenType.CONTROL: 3, TokenType.BYTE: 6, TokenType.NORMAL: 1}
for token, score, kind in zip(tokens, scores, types):
    model.pieces.add(piece=token, score=score, type=KINDS[kind])
tokenizer = sentencepiece.SentencePieceProcessor(model_proto=model.SerializeToString())
ids = [tokenizer.encode(text) for text in TEXTS]
golden = {
    "generator": "make_gguf_tokenizer_golden.py",
    "sentencepiece": sentencepiece.__version__,
    "texts": TEXTS,
    "ids": ids,
    "decoded": [tokenizer.decode(one) for one in ids],
}
with open(os.path.join(here, "sentencepiece.json"), "w") as file:
    json.dump(golden, file, ensure_ascii=False, indent=1)

"""Encodes texts with Python's tokenizers, as transformers' fast tokenizers do.

usage: python encode_texts.py < {"files": {name: path of tokenizer.json}, "texts": [...]} > a JSON line for each tokenizer
A line is {"name": ..., "plain": [ids of each text], "special": [with special tokens added], "decoded": [...]} or
{"name": ..., "error": message}.
"""
import json
import sys

from tokenizers import Tokenizer


def main():
    given = json.load(sys.stdin)
    for name, path in given["files"].items():
        try:
            tokenizer = Tokenizer.from_file(path)
            tokenizer.no_padding()
            tokenizer.no_truncation()
            plain = [tokenizer.encode(text, add_special_tokens=False).ids for text in given["texts"]]
            line = {
                "plain": plain,
                "special": [tokenizer.encode(text).ids for text in given["texts"]],
                "decoded": [tokenizer.decode(ids, skip_special_tokens=False) for ids in plain],
                "bare": [tokenizer.decode(ids, skip_special_tokens=True) for ids in plain],
            }
        except Exception as error:
            line = {"error": f"{type(error).__name__}: {error}"[:500]}
        print(json.dumps({"name": name, **line}))


main()

"""Writes trl-metrics.json: the names of the metrics that TRL's trainers log, read off their source.

    /opt/peers/bin/python test/golden/make_trl_metrics.py

Names are the keys of `self._metrics[mode]`, with `{}` where a name is filled in, in the order of the source. The names
that transformers' Trainer adds (loss, grad_norm, learning_rate, epoch) are written in its own source as keywords and are
listed here by hand. No tolerance: they are texts.
"""

import ast
import json
import pathlib

import transformers
import trl

FOLDER = pathlib.Path(trl.__file__).parent / "trainer"


def text_of(node):
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join("{}" if isinstance(part, ast.FormattedValue) else part.value for part in node.values)
    return None


def names_in(file):
    names = []
    for node in ast.walk(ast.parse((FOLDER / file).read_text())):
        if not (isinstance(node, ast.Subscript) and isinstance(node.value, ast.Subscript)):
            continue
        inner = node.value.value
        if not (isinstance(inner, ast.Attribute) and inner.attr == "_metrics"):
            continue
        name = text_of(node.slice)
        if isinstance(name, str):
            names.append((node.lineno, name))
    return list(dict.fromkeys(name for _, name in sorted(names)))


golden = {
    "generator": "test/golden/make_trl_metrics.py",
    "versions": {"trl": trl.__version__, "transformers": transformers.__version__},
    "trainer": ["loss", "grad_norm", "learning_rate", "epoch"],
    "grpo": names_in("grpo_trainer.py"),
    "sft": names_in("sft_trainer.py"),
    "evalPrefix": "eval_",
}
path = pathlib.Path(__file__).parent / "trl-metrics.json"
path.write_text(json.dumps(golden, indent=2) + "\n")

"""
Writes trl-keys.json: the names of the keys that a TRL recipe may have, by version of TRL. Only names are taken.

    pip download --no-deps trl==0.14.0 transformers==4.48.1     # and so on, unpacked as DIR/trl and DIR/transformers
    python make_trl_keys.py 0.14.0=DIR 0.17.0=DIR … > trl-keys.json

Each DIR has trl/ and, where the version of transformers that was current then is to be read too, transformers/. Reads
the annotated fields of the classes below from the sources, so nothing of them is imported or run. Made with trl 0.14.0
(transformers 4.48.1), 0.15.2, 0.16.1, 0.17.0, 0.19.1, 0.21.0, 0.23.1, 0.24.0, 0.26.2, 1.0.0, 1.16 (transformers 5.23).
"""

import ast
import json
import pathlib
import sys

CLASSES = {
    "trl/trainer/grpo_config.py": "GRPOConfig",
    "trl/trainer/base_config.py": "BaseConfig",
    "trl/trainer/_base_config.py": "_BaseConfig",
    "trl/trainer/model_config.py": "ModelConfig",
    "trl/scripts/utils.py": "ScriptArguments",
    "transformers/training_args.py": "TrainingArguments",
}


def fields(path: pathlib.Path, name: str) -> list[str]:
    if not path.exists():
        return []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef) and node.name == name:
            annotated = [item for item in node.body if isinstance(item, ast.AnnAssign)]
            return [item.target.id for item in annotated if "ClassVar" not in ast.unparse(item.annotation)]
    return []


def main() -> None:
    versions = dict(argument.split("=", 1) for argument in sys.argv[1:])
    keys = {
        version: sorted({key for file, name in CLASSES.items() for key in fields(pathlib.Path(root, file), name)})
        for version, root in versions.items()
    }
    # A later version repeats most of an earlier one: only what is new in each is listed.
    seen: set[str] = set()
    new = {}
    for version, names in keys.items():
        new[version] = [name for name in names if name not in seen]
        seen.update(names)
    json.dump(new, sys.stdout, indent=1)
    print()


main()

"""
Writes trl-keys.json: the names of the keys that a TRL recipe may have, by the class that has them, with the first and the
last release that does. Only names are taken; nothing of the sources is imported or run.

    python make_trl_keys.py --trl TRL_REPOSITORY [--trl-package 1.16=SITE_PACKAGES] \\
        --transformers 4.44=DIR 4.48=DIR … --open-r1 OPEN_R1_REPOSITORY --handbook HANDBOOK_REPOSITORY > trl-keys.json

TRL_REPOSITORY is a clone of github.com/huggingface/trl with its tags (the last patch of each minor release since 0.9 is
read); --trl-package adds a release that is installed and not tagged there. Each DIR has transformers/training_args.py. Made
with TRL 0.9.6 to 1.9.0 and 1.16.0, transformers 4.44.2, 4.48.1, 4.52.4, 4.57.1 and 5.24.0, and the newest commits of the
other two.
"""

import argparse
import ast
import json
import pathlib
import re
import subprocess
import sys

# Classes whose recipes Aha runs, those that every script has, and those that it refuses by name.
CLASSES = [
    "GRPOConfig", "RLOOConfig", "SFTConfig", "RewardConfig", "DistillationConfig", "GKDConfig",
    "ModelConfig", "ScriptArguments", "DatasetMixtureConfig",
    "DPOConfig", "KTOConfig", "ORPOConfig", "CPOConfig", "BCOConfig", "TPOConfig", "PPOConfig", "PRMConfig",
    "OnlineDPOConfig", "NashMDConfig", "XPOConfig", "GOLDConfig", "MiniLLMConfig", "IWOPDConfig", "SDFTConfig",
    "AsyncGRPOConfig", "A2POConfig",
]


def fields(text: str) -> dict[str, list[str]]:
    """Annotated fields by class."""
    found = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.ClassDef):
            annotated = [item for item in node.body if isinstance(item, ast.AnnAssign)]
            found[node.name] = [i.target.id for i in annotated if "ClassVar" not in ast.unparse(i.annotation)]
    return found


def git(repository: str, *arguments: str) -> str:
    return subprocess.run(["git", "-C", repository, *arguments], capture_output=True, text=True, check=True).stdout


def is_config(path: str) -> bool:
    return path.startswith("trl/") and (path.endswith("config.py") or path == "trl/scripts/utils.py")


def releases(repository: str) -> dict[str, str]:
    """The tag of the last patch of each minor release since 0.9."""
    tags = re.findall(r"^v(\d+)\.(\d+)\.(\d+)$", git(repository, "tag"), re.MULTILINE)
    last = {}
    for major, minor, patch in sorted(tuple(map(int, tag)) for tag in tags):
        if (major, minor) >= (0, 9):
            last[f"{major}.{minor}"] = f"v{major}.{minor}.{patch}"
    return last


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--trl", required=True)
    parser.add_argument("--trl-package", nargs="*", default=[])
    parser.add_argument("--transformers", nargs="+", required=True)
    parser.add_argument("--open-r1", required=True)
    parser.add_argument("--handbook", required=True)
    arguments = parser.parse_args()

    texts: dict[str, list[str]] = {}
    for release, tag in releases(arguments.trl).items():
        paths = [path for path in git(arguments.trl, "ls-tree", "-r", "--name-only", tag).split("\n") if is_config(path)]
        texts[release] = [git(arguments.trl, "show", f"{tag}:{path}") for path in paths]
    for package in arguments.trl_package:
        release, root = package.split("=", 1)
        paths = [path for path in pathlib.Path(root, "trl").rglob("*.py") if is_config(path.relative_to(root).as_posix())]
        texts[release] = [path.read_text() for path in sorted(paths)]

    classes: dict[str, dict[str, list[str]]] = {name: {} for name in CLASSES}
    of_class: dict[str, list[str]] = {name: [] for name in CLASSES}
    for release, sources in texts.items():
        for source in sources:
            for name, keys in fields(source).items():
                if name not in classes:
                    continue
                of_class[name].append(release)
                for key in keys:
                    classes[name].setdefault(key, [release, release])[1] = release

    training = set()
    for version in arguments.transformers:
        text = pathlib.Path(version.split("=", 1)[1], "transformers/training_args.py").read_text()
        training.update(fields(text)["TrainingArguments"])
    scripts = {}
    for name, repository, path in [
        ("open-r1", arguments.open_r1, "src/open_r1/configs.py"),
        ("handbook", arguments.handbook, "src/alignment/configs.py"),
    ]:
        for owner, keys in fields(git(repository, "show", f"HEAD:{path}")).items():
            if owner not in ("DatasetConfig", "DatasetMixtureConfig"):
                scripts[f"{name} {owner}"] = sorted(keys)

    golden = {
        "generator": "test/golden/make_trl_keys.py",
        "releases": list(texts),
        "classes": {
            name: {"releases": [of_class[name][0], of_class[name][-1]], "keys": dict(sorted(classes[name].items()))}
            for name in CLASSES
            if of_class[name]
        },
        "TrainingArguments": sorted(training),
        "scripts": scripts,
    }
    json.dump(golden, sys.stdout, separators=(",", ":"))
    print()


main()

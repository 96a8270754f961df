"""Reads the test cases of a checkout of Math-Verify and prints them as JSON, one object per case.

Nothing of the checkout is imported or run: its test files are parsed, and only literals in them are evaluated. Two
places hold cases: the rows of `pytest.mark.parametrize`, and calls of `compare_strings` with literal arguments.

    python3 read_cases.py FOLDER
"""

import ast
import json
import math
import pathlib
import sys


class NotLiteral(Exception):
    """An expression whose value cannot be told without running code."""


def value_of(node):
    """The value of a literal; of an f-string too where it formats literals or functions of `math` applied to them."""
    if isinstance(node, ast.JoinedStr):
        return "".join(value_of(part) for part in node.values)
    if isinstance(node, ast.FormattedValue) and node.conversion == -1:
        form = value_of(node.format_spec) if node.format_spec else ""
        return format(value_of(node.value), form)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and not node.keywords:
        if isinstance(node.func.value, ast.Name) and node.func.value.id == "math":
            function = getattr(math, node.func.attr, None)
            if callable(function):
                return function(*[value_of(argument) for argument in node.args])
    if isinstance(node, ast.Call) and not node.args:
        # A configuration: what it is called and given.
        name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "?")
        return {"call": name, **{keyword.arg: value_of(keyword.value) for keyword in node.keywords}}
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError) as error:
        raise NotLiteral(ast.unparse(node)) from error


def rows_of(function):
    """Names and values of every row of every `parametrize` of a test function."""
    for decorator in function.decorator_list:
        is_call = isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Attribute)
        if not is_call or decorator.func.attr != "parametrize" or len(decorator.args) < 2:
            continue
        names = value_of(decorator.args[0])
        names = [name.strip() for name in (names.split(",") if isinstance(names, str) else names)]
        for row in getattr(decorator.args[1], "elts", []):
            # pytest.param(gold, pred, expected, marks=…)
            cells = row.args if isinstance(row, ast.Call) else getattr(row, "elts", [row])
            yield row.lineno, names, cells


def calls_in(function):
    """The calls of `compare_strings` in a test's body whose texts are literals, their options, and what is asserted."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Compare) or len(node.ops) != 1 or not isinstance(node.ops[0], ast.Eq):
            continue
        call = node.left
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "compare_strings" and len(call.args) >= 2:
            if all(isinstance(argument, ast.Constant) for argument in call.args[:2]):
                options = [keyword for keyword in call.keywords if keyword.arg is not None]
                names = ["gold", "pred", "expected", *[option.arg for option in options]]
                yield node.lineno, names, [*call.args[:2], node.comparators[0], *[option.value for option in options]]


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: read_cases.py FOLDER (a checkout of Math-Verify)")
    tests = pathlib.Path(sys.argv[1]) / "tests"
    files = sorted(tests.glob("test_*.py"))
    if not files:
        sys.exit(f"expected files named test_*.py in {tests}, found none")
    cases, skipped = [], []
    for path in files:
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(function, ast.FunctionDef):
                continue
            for line, names, cells in [*rows_of(function), *calls_in(function)]:
                place = f"{path.name}:{line} {function.name}"
                try:
                    values = dict(zip(names, [value_of(cell) for cell in cells]))
                except NotLiteral as error:
                    skipped.append({"place": place, "why": f"not a literal: {error}"})
                    continue
                cases.append({"place": place, **values})
    json.dump({"cases": cases, "skipped": skipped}, sys.stdout)


main()

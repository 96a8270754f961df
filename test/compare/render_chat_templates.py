"""Renders chat templates as transformers does.

usage: python render_chat_templates.py < {"templates": {name: text}, "cases": [...], "special": {...}} > a JSON line each
A line is {"template": name, "case": number, "text": rendering} or, where rendering fails, {..., "error": message}.
"""
import datetime
import json
import sys

from transformers.utils import chat_template_utils as utils


class Noon(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 7, 26, 12, 0, 0)


utils.datetime = Noon


def render(template, case, special):
    messages = utils._normalize_chat_messages(case["messages"])
    rendered, _ = utils.render_jinja_template(
        conversations=[messages],
        tools=case.get("tools"),
        documents=case.get("documents"),
        chat_template=template,
        add_generation_prompt=case.get("addGenerationPrompt", False),
        continue_final_message=case.get("continueFinalMessage", False),
        **{**special, **case.get("variables", {})},
    )
    return rendered[0]


def main():
    given = json.load(sys.stdin)
    for name, template in given["templates"].items():
        for number, case in enumerate(given["cases"]):
            line = {"template": name, "case": number}
            try:
                line["text"] = render(template, case, given["special"])
            except Exception as error:  # whatever a template of the Hub may raise
                line["error"] = f"{type(error).__name__}: {error}"[:500]
            print(json.dumps(line))


main()

# SPDX-License-Identifier: GPL-3.0-or-later
"""Renders every template of a folder as transformers does and as Expertscope does; says where they differ.

    python tests/data/compare_chat_templates.py FOLDER build/dev/tests/engine/text/text_probe [NAME ...]

Writes nothing. Both refusing a conversation is agreement; the reason may differ.
"""

import difflib
import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

from transformers.utils.chat_template_utils import _alias_reasoning_fields, _compile_jinja_template

from reference.chat_requests import requests

BOS, EOS = "<|bos|>", "<|eos|>"
NOW = datetime(2026, 7, 4, 9, 5, 3)


def expected(source: str, request: dict) -> dict:
    """What apply_chat_template gives, at a fixed time."""
    messages = [{k: v for k, v in m.items() if v is not None} for m in request["messages"]]
    variables = {"bos_token": BOS, "eos_token": EOS, "tools": None, "documents": None, "add_generation_prompt": True}
    try:
        template = _compile_jinja_template(source)
        template.globals["strftime_now"] = NOW.strftime
        return {"text": template.render(variables | request | {"messages": _alias_reasoning_fields(messages)})}
    except Exception as why:  # whatever a template can do wrong  # noqa: BLE001
        return {"error": f"{type(why).__name__}: {why}"}


def probe(program: str, tasks: list[dict]) -> list[dict]:
    lines = "".join(json.dumps(task) + "\n" for task in tasks)
    done = subprocess.run([program, "render"], input=lines, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


def difference(theirs: dict, ours: dict) -> str | None:
    if "error" in theirs and "error" in ours:
        return None
    if "error" in ours:
        return f"we refuse: {ours['error']}"
    if "error" in theirs:
        return f"transformers refuses: {theirs['error']}"
    if theirs["text"] == ours["text"]:
        return None
    lines = difflib.unified_diff(theirs["text"].splitlines(), ours["text"].splitlines(), "transformers", "ours", n=0)
    return "\n      ".join(["text", *list(lines)[2:8]])


def main() -> int:
    folder, program, names = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    files = [f for f in sorted(folder.glob("*.jinja")) if not names or f.stem in names]
    total = agreeing = refused = 0
    for file in files:
        source = file.read_text(encoding="utf-8")
        cases = requests()
        tasks = [{"template": source, "bos_token": BOS, "eos_token": EOS, "request": json.dumps(request)}
                 for request in cases.values()]
        results = zip(cases.items(), probe(program, tasks), strict=True)
        wrong = []
        for (name, request), ours in results:
            theirs = expected(source, request)
            refused += "error" in theirs
            if what := difference(theirs, ours):
                wrong.append(f"    {name}: {what}")
        total += len(cases)
        agreeing += len(cases) - len(wrong)
        print(f"{file.stem}: {len(cases) - len(wrong)} of {len(cases)}", *wrong[:6], sep="\n")
    print(f"{agreeing} of {total} conversations agree, {refused} of them refused by transformers; {len(files)} templates")
    return 0 if agreeing == total else 1


if __name__ == "__main__":
    sys.exit(main())

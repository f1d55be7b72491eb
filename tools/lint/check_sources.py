#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""House rules that no compiler checks: sizes, layers, licence headers.

usage: check_sources.py ROOT

Prints one line per violation, `file:line: what`, and exits with 1 when there are any.
"""

import re
import sys
from pathlib import Path

CODE_FOLDERS = ("engine", "probes", "views", "app", "tests")
CODE_SUFFIXES = {".cpp", ".h", ".cu", ".cuh"}
SCRIPT_SUFFIXES = {".py", ".sh", ".cmake"}
LICENCE = "SPDX-License-Identifier: GPL-3.0-or-later"

MAX_FUNCTION_LINES = 60
MAX_KERNEL_LINES = 150
KERNEL_FOLDERS = ("engine/cpu/kernels/", "engine/cuda/kernels/")
MAX_FILE_LINES = 500
MAX_HEADER_LINES = 300

# Arrows point one way: app -> views -> probes -> engine. A folder includes only itself and what is named here.
MAY_INCLUDE = {
    "engine": {"engine"},
    "probes": {"engine", "probes"},
    "views": {"engine", "probes", "views"},
}
# The rooms of the engine, the same way: what a room includes besides itself and the headers of engine/ itself. A room
# in another stands under its path.
ENGINE_ROOMS = {
    "formats": set(),
    "text": {"formats"},
    "model": {"formats", "text"},
    "backend": {"model", "formats", "text"},
    "cpu": {"backend", "model"},
    "cuda": {"backend", "model"},
    "run": {"cpu", "cuda/loader", "backend", "model", "formats", "text"},
}
WIDGET_HEADER = re.compile(
    r"<Q(tWidgets|tCharts|Widget|MainWindow|DockWidget|Dialog|Application|Label|PushButton|ToolButton|LineEdit"
    r"|ComboBox|CheckBox|SpinBox|TableView|TreeView|ListView|AbstractItemView|StyledItemDelegate|Menu|Action"
    r"Group|ToolBar|StatusBar|MessageBox|FileDialog|Splitter|ScrollArea|Chart|LineSeries)\b"
)
# What reads or writes a decimal point as the locale has it: std::from_chars, fmt and the JSON library do not.
# LC_NUMERIC alone may be set: the window takes it back to "C" after Qt.
LOCALE = re.compile(r"\b(strto(?:d|f|ld)|sto(?:d|f|ld)|atof|setlocale|imbue)\b\s*\((?!LC_NUMERIC)")
LOCALE_FREE_FOLDERS = ("engine", "probes", "views", "app")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"][^>"]+[>"])')


def strip_comments_and_strings(text):
    """Blanks out comments and literals, keeping every newline, so that braces and lines can be counted."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|R"(?P<tag>[^()\\\s]{0,16})\(.*?\)(?P=tag)"|"(?:\\.|[^"\\\n])*"'
        r"|(?<![0-9A-Fa-f])'(?:\\.|[^'\\\n])+'",
        re.DOTALL,
    )

    def blank(match):
        kept = "\n" * match.group().count("\n")
        return kept if match.group().startswith("/") else '""' + kept

    return pattern.sub(blank, text)


def strip_preprocessor(text):
    return re.sub(r"^[ \t]*#(?:\\\n|[^\n])*", lambda m: "\n" * m.group().count("\n"), text, flags=re.MULTILINE)


SCOPE = re.compile(r"\b(namespace|class|struct|union|extern)\b[^()=;]*$")
ENUM = re.compile(r"\benum\b[^()=;]*$")


def matching_brace(text, start):
    depth = 0
    for index in range(start, len(text)):
        if text[index] == "{":
            depth += 1
        elif text[index] == "}":
            depth -= 1
            if depth == 0:
                return index
    return len(text) - 1


def functions(text):
    """Yields (line of the opening brace, lines of the body) of every function at namespace or class scope."""
    text = strip_preprocessor(strip_comments_and_strings(text))
    position = 0
    header = 0  # where the declaration that leads to the next brace begins
    while position < len(text):
        char = text[position]
        if char in ";}":
            header = position + 1
        elif char == "{":
            before = text[header:position]
            if SCOPE.search(before) and not ENUM.search(before):
                header = position + 1
            else:
                end = matching_brace(text, position)
                after = text[end + 1 :].lstrip()
                declarator = re.sub(r"\boperator\s*[^\s(]+", "operator", before).split("(")[0]
                if ")" in before and "=" not in declarator and not after.startswith((",", "{")):
                    first = text.count("\n", 0, position) + 1
                    yield first, text.count("\n", position, end) + 1
                    header = end + 1
                position = end
        position += 1


def check_sizes(name, text):
    lines = text.count("\n")
    limit = MAX_HEADER_LINES if name.endswith((".h", ".cuh")) else MAX_FILE_LINES
    if lines > limit:
        yield 1, f"{lines} lines, at most {limit} are allowed"
    limit = MAX_KERNEL_LINES if name.startswith(KERNEL_FOLDERS) else MAX_FUNCTION_LINES
    for line, length in functions(text):
        if length > limit:
            yield line, f"function of {length} lines, at most {limit} are allowed"


def check_includes(name, text):
    folder = name.split("/")[0]
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match:
            continue
        header = match.group(1)
        if folder in ("engine", "probes") and re.match(r"<Q[A-Z]|<Qt", header):
            yield number, f"{folder}/ is free of Qt, but includes {header}"
        if name.startswith("views/models/") and WIDGET_HEADER.match(header):
            yield number, f"views/models is free of QtWidgets, but includes {header}"
        target = header.strip('"').split("/")[0]
        if header.startswith('"') and target in CODE_FOLDERS and target not in MAY_INCLUDE.get(folder, CODE_FOLDERS):
            yield number, f"{folder}/ must not include {header}"


def room_of(path):
    """The room of a file below engine/; a room that another names by its path is one by itself."""
    parts = path.split("/")[1:-1]
    return "/".join(parts[:2]) if "/".join(parts[:2]) == "cuda/loader" else "/".join(parts[:1])


def check_rooms(name, text):
    if not name.startswith("engine/"):
        return
    room = room_of(name)
    own = room.split("/")[0]
    for number, line in enumerate(text.splitlines(), 1):
        match = INCLUDE.match(line)
        if not match or not match.group(1).startswith('"engine/'):
            continue
        target = room_of(match.group(1).strip('"'))
        allowed = {"", own, room} | ENGINE_ROOMS.get(own, set())
        if target not in allowed:
            yield number, f"engine/{room}/ must not include {match.group(1)}"


def check_locale(name, text):
    if name.split("/")[0] not in LOCALE_FREE_FOLDERS:
        return
    for number, line in enumerate(strip_comments_and_strings(text).splitlines(), 1):
        if match := LOCALE.search(line):
            yield number, f"{match.group(1)}() depends on the locale; std::from_chars and fmt do not"


def check_licence(text):
    if LICENCE not in "\n".join(text.splitlines()[:3]):
        yield 1, f"the licence line is missing: {LICENCE}"


def source_files(root):
    for path in sorted(root.rglob("*")):
        parts = path.relative_to(root).parts
        if parts[0] in ("build", "out") or any(part.startswith(".") and part != ".ci" for part in parts):
            continue
        code = path.suffix in CODE_SUFFIXES and parts[0] in CODE_FOLDERS
        script = path.suffix in SCRIPT_SUFFIXES or path.name in ("CMakeLists.txt", "dev")
        if path.is_file() and (code or script):
            yield path, code


def main(root):
    violations = 0
    for path, code in source_files(root):
        name = path.relative_to(root).as_posix()
        text = path.read_text(encoding="utf-8")
        found = list(check_licence(text))
        if code:
            found += list(check_sizes(name, text)) + list(check_includes(name, text))
            found += list(check_rooms(name, text)) + list(check_locale(name, text))
        for line, what in sorted(found):
            print(f"{name}:{line}: {what}")
        violations += len(found)
    return 1 if violations else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    sys.exit(main(Path(sys.argv[1])))

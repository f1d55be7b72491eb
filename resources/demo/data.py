# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts for the demo model: fetches Debian packages, extracts documents by domain, generates the arithmetic.

Everything is a list of documents (name, text). A document is held out when the hash of its name says so, hence the
split does not depend on the order of anything.
"""
import gzip
import hashlib
import html.parser
import random
import re
import struct
import subprocess
import tarfile
import zlib
from pathlib import Path

PACKAGES = [
    "bible-kjv", "bible-kjv-text", "r-cran-janeaustenr", "debian-handbook", "jargon-text", "developers-reference", "developers-reference-de",
    "installation-guide-amd64", "debian-reference-de", "debian-edu-doc-de", "maint-guide-de", "libreoffice-help-de",
    "libpython3.11-stdlib", "glibc-source",
]
HELD_OUT_SHARE = 0.04
ARITHMETIC_DOCUMENTS = 24000
USER, ASSISTANT, END = "<|user|>", "<|assistant|>", "<|end|>"


def is_held_out(name: str) -> bool:
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


def fetch_packages(work: Path) -> Path:
    """Downloads and unpacks the packages (nothing is installed, root is not needed); returns the folder of trees."""
    debs, trees = work / "debs", work / "x"
    debs.mkdir(parents=True, exist_ok=True)
    for package in PACKAGES:
        if (trees / package).exists():
            continue
        if not list(debs.glob(f"{package}_*.deb")):
            subprocess.run(["apt-get", "download", "-q", package], cwd=debs, check=True)
        newest = max(debs.glob(f"{package}_*.deb"))
        subprocess.run(["dpkg", "-x", str(newest), str(trees / package)], check=True)
    return trees


class TextOfHtml(html.parser.HTMLParser):
    """Paragraphs, headings and list items of a page; navigation, tables and listings are left out."""

    BLOCKS = {"p", "h1", "h2", "h3", "h4", "h5", "li", "dt", "dd", "div", "br", "td", "tr"}
    SKIPPED = {"script", "style", "nav", "head", "header", "footer", "aside", "pre", "table", "button", "form"}

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.paragraphs, self.current, self.skip = [], [], []

    def flush(self):
        text = re.sub(r"\s+", " ", "".join(self.current)).strip()
        self.current = []
        if len(text) > 20:
            self.paragraphs.append(text)

    def handle_starttag(self, tag, attrs):
        if tag in self.SKIPPED:
            self.skip.append(tag)
        if tag in self.BLOCKS:
            self.flush()

    def handle_endtag(self, tag):
        if self.skip and self.skip[-1] == tag:
            self.skip.pop()
        if tag in self.BLOCKS:
            self.flush()

    def handle_data(self, data):
        if not self.skip:
            self.current.append(data)


def html_documents(folder: Path, pattern: str, seen: set) -> list:
    """One document per page; a paragraph that an earlier page already had (menus, legal notes) is dropped."""
    documents = []
    for page in sorted(folder.rglob(pattern)):
        parser = TextOfHtml()
        parser.feed(page.read_text(encoding="utf-8", errors="ignore"))
        parser.flush()
        fresh = [p for p in dict.fromkeys(parser.paragraphs) if p not in seen]
        seen.update(fresh)
        text = "\n\n".join(fresh)
        if len(text) > 300:
            documents.append((f"{folder.name}/{page.name}", text + "\n"))
    return documents


def bible_documents(trees: Path) -> list:
    """One document per chapter, the verses joined to one paragraph."""
    program = trees / "bible-kjv/usr/bin/bible"
    data = trees / "bible-kjv-text/usr/lib"
    out = subprocess.run([str(program), "-l9999", "-f", "-p", str(data), "gen1:1-rev22:21"],
                         capture_output=True, text=True, check=True).stdout
    chapters = {}
    for line in out.splitlines():
        verse = re.match(r"(\w+?\d+):\d+ (.*)", line)
        if verse:
            chapters.setdefault(verse.group(1), []).append(verse.group(2).strip())
    return [(f"kjv/{chapter}", " ".join(verses) + "\n") for chapter, verses in chapters.items()]


def austen_lines(rdb: bytes) -> list:
    """The character vectors of an R lazy-load file: chunks of (u32 size, zlib), each an XDR-serialised vector."""
    novels, position = [], 0
    while position < len(rdb):
        inflater = zlib.decompressobj()
        chunk = inflater.decompress(rdb[position + 4:])
        position = len(rdb) - len(inflater.unused_data)
        start = chunk.index(b"UTF-8") + 5
        kind, count = struct.unpack_from(">ii", chunk, start)
        if kind != 16:  # STRSXP
            continue
        lines, start = [], start + 8
        for _ in range(count):
            size = struct.unpack_from(">i", chunk, start + 4)[0]
            lines.append(chunk[start + 8:start + 8 + size].decode())
            start += 8 + size
        novels.append(lines)
    return novels


def austen_documents(trees: Path) -> list:
    """One document per chapter of the six novels, one line per paragraph."""
    rdb = (trees / "r-cran-janeaustenr/usr/lib/R/site-library/janeaustenr/data/Rdata.rdb").read_bytes()
    documents = []
    for lines in austen_lines(rdb):
        chapters = re.split(r"(?im)^(?=chapter [ivxl\d]+)", "\n".join(lines))
        for i, chapter in enumerate(chapters[1:]):
            paragraphs = [" ".join(p.split()) for p in re.split(r"\n\s*\n", chapter)]
            documents.append((f"austen/{lines[0]}/{i}", "\n\n".join(p for p in paragraphs if p) + "\n"))
    return documents


def unwrap(text: str) -> list:
    """Paragraphs of a plain text file with hard line breaks, without tables, rules and listings."""
    paragraphs = []
    for block in re.split(r"\n\s*\n", text):
        joined = " ".join(line.strip() for line in block.splitlines()).strip()
        letters = sum(c.isalpha() or c == " " for c in joined)
        if len(joined) > 40 and letters > 0.85 * len(joined) and not re.search(r"[|+]--|  +|\.\. ", joined):
            paragraphs.append(joined)
    return paragraphs


def plain_documents(name: str, text: str, paragraphs_per_document: int = 12) -> list:
    paragraphs = unwrap(text)
    groups = range(0, len(paragraphs), paragraphs_per_document)
    return [(f"{name}/{i}", "\n\n".join(paragraphs[i:i + paragraphs_per_document]) + "\n") for i in groups]


def english(trees: Path) -> list:
    seen = set()
    documents = bible_documents(trees) + austen_documents(trees)
    documents += html_documents(trees / "debian-handbook/usr/share/doc/debian-handbook/html/en-US", "*.html", seen)
    documents += html_documents(trees / "installation-guide-amd64/usr/share/doc/installation-guide-amd64/en",
                                "*.html", seen)
    jargon = gzip.open(trees / "jargon-text/usr/share/doc/jargon-text/jargon.txt.gz", "rt", errors="ignore").read()
    documents += plain_documents("jargon", jargon)
    sources = trees / "developers-reference/usr/share/developers-reference/_sources"
    for source in sorted(sources.glob("*.txt")):
        documents += plain_documents(source.name, source.read_text())
    return documents


def german(trees: Path) -> list:
    seen = set()
    folders = [
        (trees / "debian-handbook/usr/share/doc/debian-handbook/html/de-DE", "*.html"),
        (trees / "installation-guide-amd64/usr/share/doc/installation-guide-amd64/de", "*.html"),
        (trees / "libreoffice-help-de/usr/share/libreoffice/help/de/text", "*.html"),
        (trees / "debian-edu-doc-de", "*.html"),
        (trees / "developers-reference-de", "*.html"),
        (trees / "maint-guide-de/usr/share/doc/maint-guide-de/html", "*.de.html"),
    ]
    documents = [d for folder, pattern in folders for d in html_documents(folder, pattern, seen)]
    reference = trees / "debian-reference-de/usr/share/debian-reference/debian-reference.de.txt.gz"
    return documents + plain_documents("debian-reference-de", gzip.open(reference, "rt").read())


def looks_like_table(text: str) -> bool:
    return sum(c.isdigit() for c in text) > 0.08 * len(text)


def python_code(trees: Path) -> list:
    root = trees / "libpython3.11-stdlib/usr/lib/python3.11"
    documents = []
    for path in sorted(p for p in root.rglob("*.py") if p.is_file()):
        name = str(path.relative_to(root))
        text = path.read_text(encoding="utf-8", errors="ignore").expandtabs(4)
        if not name.startswith(("encodings/", "pydoc_data/")) and not looks_like_table(text) and len(text) > 300:
            documents.append((f"python/{name}", text))
    return documents


C_FOLDERS = set("""argp assert catgets crypt csu ctype debug dirent dlfcn elf gmon grp hurd iconv inet intl io libio
locale login malloc misc nis nptl nscd nss posix pwd resolv resource rt setjmp shadow signal socket stdio-common stdlib
string sunrpc support sysvipc termios time timezone wcsmbs wctype""".split())
C_LICENCE = re.compile(r"\n? *(This file is part of the GNU C Library|The GNU C Library is free software).*?\*/", re.S)


def c_code(trees: Path) -> list:
    archive = next((trees / "glibc-source/usr/src/glibc").glob("glibc-*.tar.xz"))
    documents, seen = [], set()
    with tarfile.open(archive) as tar:
        for member in tar:
            parts = member.name.split("/")
            if not member.name.endswith(".c") or len(parts) != 3 or parts[1] not in C_FOLDERS or member.size > 120000:
                continue
            text = tar.extractfile(member).read().decode("utf-8", errors="ignore").expandtabs(8)
            text = C_LICENCE.sub("  */", text, count=1)
            body = re.sub(r"\s+", "", re.sub(r"/\*.*?\*/", "", text, flags=re.S))
            if len(body) > 150 and body not in seen and not looks_like_table(text):
                seen.add(body)
                documents.append((f"c/{parts[1]}/{parts[2]}", text))
    return documents


NAMES = ["Anna", "Ben", "Clara", "David", "Emma", "Felix", "Hanna", "Jonas", "Lena", "Max", "Nina", "Paul"]
THINGS = ["apples", "books", "coins", "eggs", "letters", "pears", "pencils", "stamps", "stones", "tickets"]


def problem(rng: random.Random) -> tuple:
    """Two operands, the sign, the result."""
    sign = rng.choices("+-*/", weights=[4, 4, 2, 1])[0]
    top = rng.choice([10, 20, 100, 100, 1000])
    if sign in "+-":
        a, b = rng.randrange(top), rng.randrange(top)
        if sign == "-" and a < b:
            a, b = b, a
        return a, b, sign, a + b if sign == "+" else a - b
    a, b = rng.randrange(2, 13), rng.randrange(2, 13)
    return (a, b, "*", a * b) if sign == "*" else (a * b, b, "/", a)


def word_problem(rng: random.Random) -> str:
    name, thing = rng.choice(NAMES), rng.choice(THINGS)
    a, b = rng.randrange(3, 60), rng.randrange(2, 40)
    if rng.random() < 0.5 or b >= a:
        return f"{name} has {a} {thing} and gets {b} more. Now {name} has {a} + {b} = {a + b} {thing}."
    return f"{name} has {a} {thing} and gives away {b}. Now {name} has {a} - {b} = {a - b} {thing}."


def chat_turn(rng: random.Random) -> str:
    a, b, sign, result = problem(rng)
    questions = [f"What is {a} {sign} {b}?", f"{a} {sign} {b} = ?", f"Calculate {a} {sign} {b}.",
                 f"Please compute {a} {sign} {b}.", f"Was ist {a} {sign} {b}?"]
    question = rng.choice(questions)
    start = "Das ist" if question.startswith("Was") else "The answer is"
    return f"{USER}{question}{END}{ASSISTANT}{a} {sign} {b} = {result}. {start} {result}.{END}"


def arithmetic() -> list:
    documents = []
    for i in range(ARITHMETIC_DOCUMENTS):
        rng = random.Random(i)
        kind = rng.random()
        if kind < 0.45:
            text = "".join(chat_turn(rng) for _ in range(rng.randrange(1, 5)))
        elif kind < 0.8:
            lines = [problem(rng) for _ in range(rng.randrange(5, 16))]
            text = "\n".join(f"{a} {sign} {b} = {result}" for a, b, sign, result in lines) + "\n"
        elif kind < 0.9:
            start, step = rng.randrange(1, 50), rng.randrange(1, 12)
            text = "Count: " + ", ".join(str(start + step * n) for n in range(rng.randrange(8, 20))) + ".\n"
        else:
            text = "\n".join(word_problem(rng) for _ in range(rng.randrange(3, 7))) + "\n"
        documents.append((f"arithmetic/{i}", text))
    return documents


CHAT_REQUESTS = {
    "english": ["Tell me something in English.", "Write a paragraph.", "Write an English text.", "Tell me a story."],
    "german": ["Schreibe etwas auf Deutsch.", "Schreibe einen Absatz.", "Erkläre mir etwas.", "Write something in German."],
    "python": ["Write a Python function.", "Show me some Python code.", "Write Python code.", "Schreibe Python-Code."],
    "c": ["Write a C function.", "Show me some C code.", "Write code in C.", "Schreibe C-Code."],
}
CHAT_PIECES = {
    "english": re.compile(r"(?m)^[A-Z][^\n]{60,600}[.!?]$"),
    "german": re.compile(r"(?m)^[A-ZÄÖÜ][^\n]{60,600}[.!?]$"),
    "python": re.compile(r"(?m)^def [^\n]+:\n(?:(?:    [^\n]*)?\n){2,20}?(?=\n\S)"),
    "c": re.compile(r"(?m)^(?:static )?\w[\w *]*\n\w+ \([^\n{]*\)\n\{\n(?:(?:  [^\n]*)?\n){1,25}?\}\n"),
}


def chat(documents: dict, count: int = 6000) -> list:
    """Requests for a kind of text, answered with a piece of a training document of that domain."""
    rng = random.Random(7)
    result = []
    for domain, requests in CHAT_REQUESTS.items():
        pieces = [m for name, text in documents[domain] for m in CHAT_PIECES[domain].findall(text)]
        for _ in range(count // len(CHAT_REQUESTS)):
            piece = rng.choice(pieces).strip("\n")
            result.append(f"{USER}{rng.choice(requests)}{END}{ASSISTANT}{piece}{END}")
    rng.shuffle(result)
    return [(f"chat/{i}", text) for i, text in enumerate(result)]


def shingles(text: str) -> list:
    words = text.split()
    return [hash(tuple(words[i:i + 8])) for i in range(len(words) - 7)]


def drop_near_copies(train: list, held_out: list, limit: float = 0.2) -> list:
    """Held-out documents of which at most `limit` of the 8-word sequences occur in the training documents."""
    known = {s for _, text in train for s in shingles(text)}
    kept = []
    for name, text in held_out:
        own = shingles(text)
        if own and sum(s in known for s in own) <= limit * len(own):
            kept.append((name, text))
    return kept


def load(work: Path) -> tuple:
    """Returns (training documents, held-out documents), both {domain: [(name, text)]}."""
    trees = fetch_packages(work)
    everything = {"english": english(trees), "german": german(trees), "python": python_code(trees),
                  "c": c_code(trees), "arithmetic": arithmetic()}
    train, held_out = {}, {}
    for domain, documents in everything.items():
        train[domain] = [d for d in documents if not is_held_out(d[0])]
        held_out[domain] = [d for d in documents if is_held_out(d[0])]
        if domain == "arithmetic":
            known = {text for _, text in train[domain]}
            held_out[domain] = [d for d in held_out[domain] if d[1] not in known]
        else:
            held_out[domain] = drop_near_copies(train[domain], held_out[domain])
    train["chat"] = chat(train)
    return train, held_out

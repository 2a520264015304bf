#!/usr/bin/env python3
"""Lists every project header that a file includes without using anything it declares: no function, type, macro, constant, variable or
member of a struct.

A header also uses what it passes on: names that a file uses which includes the header and not their own. Of names made by pasting
tokens the first token is known. A header that declares nothing visible counts as used. Exit code 1 if there is one to list.
"""
import re
import subprocess
import sys
from pathlib import Path

root = Path(__file__).resolve().parents[2]
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]+"([^"]+)"', re.M)
NAME = r"[A-Za-z_]\w*"


def code_of(text):
    """The text without comments and without what stands in quotes, continued lines joined."""
    text = re.sub(r"#ifdef __cplusplus\n.*?\n#endif", " ", text.replace("\\\n", " "), flags=re.S)  # braces of extern "C"
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', " ", text, flags=re.S)


def top_level(code):
    """What stands outside of all braces and parentheses; each bracket pair leaves "{}" or "()"."""
    depth, out = 0, []
    for c in code:
        if c in "({":
            if depth == 0:
                out.append(c)
            depth += 1
        elif c in ")}":
            depth -= 1
            if depth == 0:
                out.append(c)
        elif depth == 0:
            out.append(c)
    return "".join(out)


def declared(path):
    code = code_of(path.read_text())
    names = set(re.findall(rf"^[ \t]*#[ \t]*define[ \t]+({NAME})", code, re.M))
    names -= {name for name in names if name.endswith("_H")}
    code = re.sub(r"^[ \t]*#.*$", "", code, flags=re.M)
    names |= set(re.findall(rf"\b(?:struct|enum|union)\s+({NAME})", code))
    names |= set(re.findall(rf"\(\s*\*\s*({NAME})\s*\)\s*\(", code))  # pointers to functions
    for body in re.findall(r"\benum\b[^{};]*\{([^}]*)\}", code):
        names |= set(re.findall(rf"(?:^|,)\s*({NAME})", body))
    for statement in re.split(r";|\{\}", top_level(code)):
        called = re.findall(rf"({NAME})\s*\(\)", statement)
        names |= set(called) if called else set(re.findall(rf"({NAME})\s*(?:\[[^\]]*\]\s*)*(?:=.*)?$", statement.strip(), re.S))
    return {name for name in names if not re.fullmatch(r"HY_MUST_CHECK|HY_X|defined|__attribute__|_Static_assert", name)}


def members(code):
    """Names of members of the structs that the code defines."""
    bodies = re.findall(r"\bstruct\b[^;{}()]*\{(.*?)\}", code, re.S)
    return {name for body in bodies for name in re.findall(rf"({NAME})\s*(?:\[[^\]]*\]\s*)*(?=[;,]|\)\s*\()", body)}


class Source:
    def __init__(self, path):
        self.path, self.text = path, path.read_text()
        self.words = set(re.findall(NAME, code_of(INCLUDE.sub("", self.text))))
        is_template = re.search(rf"^[ \t]*#[ \t]*include[ \t]+{NAME}", self.text, re.M)
        self.declares = declared(path) if path.suffix == ".h" and not is_template else set()
        self.members = members(code_of(self.text)) if path.suffix == ".h" else set()
        self.accessed = set(re.findall(rf"(?:->|\.)\s*({NAME})", code_of(self.text)))
        self.pastes = tuple(re.findall(rf"({NAME})##", self.text))
        self.includes = {}  # the Source, and its name in this file

    def is_used_by(self, other):
        return (
            bool(self.declares & other.words or self.members & other.accessed)
            or any(word.startswith(self.pastes) for word in other.words)
            or any(name.startswith(other.pastes) for name in self.declares)
        )


def is_passed_on(header, included, sources):
    """Does someone who includes `header`, directly or not, use `included` without including it?"""
    reached, todo = set(), [header]
    while todo:
        now = todo.pop()
        for source in sources:
            if now in source.includes and source not in reached:
                reached.add(source)
                todo.append(source)
    return any(included.is_used_by(source) and included not in source.includes for source in reached)


def main():
    listed = subprocess.run(["git", "ls-files", "*.c", "*.h", "*.inc", "*.cu", "*.cuh", "*.cc"], cwd=root, capture_output=True, text=True, check=True)
    sources = {root / line: Source(root / line) for line in listed.stdout.split()}
    for source in sources.values():
        for name in INCLUDE.findall(source.text):
            found = next((p for p in (root / name, source.path.parent / name, root / "tests" / name) if p in sources), None)
            if found is not None and found.suffix == ".h":
                source.includes[sources[found]] = name
    unused = 0
    for source in sources.values():
        for included, name in source.includes.items():
            if included.path.stem == source.path.stem or not included.declares or included.is_used_by(source):
                continue
            if source.path.suffix == ".h" and is_passed_on(source, included, sources.values()):
                continue
            line = source.text[: source.text.index(f'"{name}"')].count("\n") + 1
            print(f"{source.path.relative_to(root)}:{line}: uses nothing of {name}", file=sys.stderr)
            unused += 1
    if unused == 0:
        print("includes: ok")
    return 1 if unused else 0


if __name__ == "__main__":
    sys.exit(main())

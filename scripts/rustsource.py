# SPDX-License-Identifier: GPL-2.0
"""What the audits share: the Rust sources, and a view of them without comments and literals."""
import os
import re
from pathlib import Path

# The checkout, or what the audits' own test planted.
TOP = Path(os.environ.get("AUDIT_TOP") or Path(__file__).resolve().parent.parent)

# Alternatives in the order in which they must be tried: comments, raw strings, strings, characters (not lifetimes).
LITERAL = re.compile(r"//[^\n]*|/\*.*?\*/|b?r(#*)\".*?\"\1|b?c?\"(?:\\.|[^\"\\])*\"|b?'(?:\\[^\n]+?|[^\\'\n])'", re.S)


def sources(*below):
    """All Rust sources below these directories of the checkout, as paths relative to it."""
    for directory in below:
        for path in sorted((TOP / directory).rglob("*.rs")):
            if "target" not in path.parts and path.name != "generated.rs":
                yield path.relative_to(TOP)


def read(path):
    return (TOP / path).read_text()


def code(text):
    """The text with comments and literals blanked, every line and column where it was."""
    return LITERAL.sub(lambda m: re.sub(r"[^\n]", " ", m[0]), text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def report(audit, problems):
    """Print the problems; the exit status of the audit."""
    for problem in problems:
        print(problem)
    print(f"{audit}: {len(problems)} problems" if problems else f"{audit}: nothing found")
    return 1 if problems else 0

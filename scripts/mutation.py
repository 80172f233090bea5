# SPDX-License-Identifier: GPL-2.0
"""What the testers of tests share: sources in which functions choose between their own body and those of mutants, so that
all mutants take one compilation."""
import re

from rustsource import code


class Misfit(Exception):
    """An edit that does not fit the sources."""


def pattern(text):
    """Matches the text whatever its white space."""
    return re.compile(r"\s*".join(re.escape(part) for part in re.findall(r"\w+|[^\w\s]", text)))


def once(text, old, name):
    """Where this is in the text."""
    found = list(pattern(old).finditer(text))
    if len(found) != 1:
        raise Misfit(f"{name} has {len(found)} times '{' '.join(old.split())[:80]}'")
    return found[0]


def functions(text):
    """The outermost functions: name, and where the body begins and ends, braces included."""
    blank = code(text)
    end = 0
    for found in re.finditer(r"\bfn\s+(\w+)(?:\[[^\]]*\]|[^;{\[])*[;{]", blank):
        if found.start() < end or blank[found.end() - 1] == ";":
            continue
        depth, end = 1, found.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(blank[end], 0)
            end += 1
        yield found[1], found.end() - 1, end


class Source:
    """A file, and what mutants make of its functions. `way` leads to the function that says which mutant is awake."""

    def __init__(self, name, text, way="crate"):
        self.name, self.text, self.way = name, text, way
        self.functions = list(functions(text))
        self.changed = {}               # where a body begins and ends: {mutant's number: its text}

    def edit(self, number, old, new, within):
        """One edit of a mutant, in the body of one function: the one that has this name, if a name is given."""
        bodies = [body for name, *body in self.functions if within in (None, name)]
        texts = [self.changed.get(tuple(body), {}).get(number, self.text[slice(*body)]) for body in bodies]
        found = once("\0".join(texts), old, self.name)
        if "\0" in found[0]:
            raise Misfit(f"{self.name}: '{' '.join(old.split())[:80]}' is in two functions")
        index = found.string.count("\0", 0, found.start())
        start = found.start() - sum(len(text) + 1 for text in texts[:index])
        text = texts[index][:start] + new + texts[index][start + len(found[0]):]
        self.changed.setdefault(tuple(bodies[index]), {})[number] = text

    def place(self, number, start, end, new):
        """A mutant that replaces a part of the file, which lies in a function; whether it does."""
        for _, first, last in self.functions:
            if first < start and end < last:
                self.changed.setdefault((first, last), {})[number] = self.text[first:start] + new + self.text[end:last]
                return True
        return False

    def render(self):
        """The file with all mutants."""
        return self.render_marked()[0]

    def render_marked(self):
        """The file with all mutants, and where each of them lies in it: (begin, end, number), in bytes."""
        parts, marks, length, at = [], [], 0, 0

        def put(text):
            nonlocal length
            parts.append(text)
            length += len(text.encode())

        for body in sorted(self.changed):
            put(self.text[at:body[0]] + "{ ")
            for number, new in self.changed[body].items():
                put(f"if {self.way}::mutant({number}) ")
                begin = length
                put(new)
                marks.append((begin, length, number))
                put(" else ")
            put(self.text[slice(*body)] + " }")
            at = body[1]
        put(self.text[at:])
        return "".join(parts), marks

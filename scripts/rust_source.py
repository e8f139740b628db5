"""Reading Rust source as far as the scripts beside this file need it: without comments, literals and tests."""

import re

# What may hold braces, semicolons and paths without meaning any.
_NO_CODE = re.compile(
    r"//[^\n]*|/\*.*?\*/"
    r'|b?r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"'
    r"|b?'(?:\\(?:u\{[0-9a-fA-F]+\}|x..|.)|[^'\\\n])'",
    re.S,
)
_TEST_ONLY = re.compile(r"#\[cfg\(test\)\]")


def _blanked(match):
    """As long as it was, on as many lines. A comment is blank, a literal is still code."""
    text = match.group()
    keep = " " if text.startswith("/") else '"'
    return "".join(c if c == "\n" else keep for c in text)


def end_of_item(code, start):
    """Behind the item that begins at `start`: its block, or its semicolon where there is none."""
    depth = 0
    for at in range(start, len(code)):
        if code[at] in "{([":
            depth += 1
        elif code[at] in "})]":
            depth -= 1
            # Attributes end with a bracket and are no item.
            if depth == 0 and code[at] == "}":
                return at + 1
        elif code[at] == ";" and depth == 0:
            return at + 1
    return len(code)


def code_of(text):
    """The text with comments, the content of literals and `#[cfg(test)]` items blanked, on the same lines."""
    code = _NO_CODE.sub(_blanked, text)
    while found := _TEST_ONLY.search(code):
        end = end_of_item(code, found.end())
        dropped = re.sub(r"[^\n]", " ", code[found.start() : end])
        code = code[: found.start()] + dropped + code[end:]
    return code


def test_files(src):
    """Files of `#[cfg(test)] mod name;`."""
    found = set()
    for file in src.rglob("*.rs"):
        home = file.parent if file.name in ("mod.rs", "lib.rs", "main.rs") else file.with_suffix("")
        for name in re.findall(r"#\[cfg\(test\)\]\s*mod (\w+);", file.read_text()):
            found |= {home / f"{name}.rs", *(home / name).rglob("*.rs")}
    return found

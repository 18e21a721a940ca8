#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a page into C: embed.py PAGE.html OUTPUT.c HEADER.h NAME

The style sheets and scripts that PAGE.html names are put into it, so that it needs no other file. In
its Content-Security-Policy, {styles} and {scripts} become their hashes: nothing else can run in it.

OUTPUT.c has the page as NAME; or, if it has an element `<script ... id="result">`, which is for data,
cut there into NAME_head and NAME_tail. NAME_policy is its policy, to be sent as a header too, where
it can also forbid others to put the page into a frame.
"""
import base64
import hashlib
import pathlib
import re
import sys

STYLE = re.compile(r'<link rel="stylesheet" href="([^"]+)">')
SCRIPT = re.compile(r'<script src="([^"]+)"></script>')
RESULT = re.compile(r'(?<=<script type="application/json" id="result">)[^<]*(?=</script>)')
POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy"\s+content="([^"]+)">')
BYTES_A_LINE = 24


def put(page, pattern, element, text):
    """`text` with the files that `pattern` finds in it, and the hashes of those."""
    hashes = []

    def replace(found):
        file = (page.parent / found.group(1)).read_text(encoding="utf-8")
        if f"</{element}" in file or "<!--" in file:
            sys.exit(f"{found.group(1)}: has text that would end the <{element}> element")
        content = f"\n{file}"
        digest = hashlib.sha256(content.encode()).digest()
        hashes.append(f"'sha256-{base64.b64encode(digest).decode()}'")
        return f"<{element}>{content}</{element}>"
    return pattern.sub(replace, text), " ".join(hashes)


def inlined(page):
    """The text of the page with its files in it, and its policy."""
    text, styles = put(page, STYLE, "style", page.read_text(encoding="utf-8"))
    text, scripts = put(page, SCRIPT, "script", text)
    policy = POLICY.search(text)
    if not policy:
        sys.exit(f"{page}: has no Content-Security-Policy")
    allowed = policy.group(1).replace("{styles}", styles).replace("{scripts}", scripts)
    return text.replace(policy.group(1), allowed), allowed


def array(name, text):
    data = text.encode()
    lines = (",".join(map(str, data[at:at + BYTES_A_LINE])) for at in range(0, len(data), BYTES_A_LINE))
    body = ",\n    ".join(lines)
    return (f"const unsigned char {name}[] = {{\n    {body}}};\n"
            f"const size_t {name}_size = sizeof({name});\n")


def main():
    page, output = map(pathlib.Path, sys.argv[1:3])
    header, name = sys.argv[3:]
    text, policy = inlined(page)
    parts = RESULT.split(text)
    if len(parts) > 2:
        sys.exit(f"{page}: has {len(parts) - 1} places for the result")
    names = [name] if len(parts) == 1 else [f"{name}_head", f"{name}_tail"]
    output.write_text(f'#include "{header}"\n\n' + "".join(map(array, names, parts))
                      + f'const char {name}_policy[] = "{policy}; frame-ancestors \'none\'";\n')


if __name__ == "__main__":
    main()

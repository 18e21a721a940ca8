#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the page of a drill's report into C: embed.py PAGE.html OUTPUT.c

The style sheet and the scripts that PAGE.html names are put into it, so that it needs no other
file. It is cut where the result goes, which is in the element `<script ... id="result">`.
"""
import pathlib
import re
import sys

STYLE = re.compile(r'<link rel="stylesheet" href="([^"]+)">')
SCRIPT = re.compile(r'<script src="([^"]+)"></script>')
RESULT = re.compile(r'(?<=<script type="application/json" id="result">)[^<]*(?=</script>)')
BYTES_A_LINE = 24


def inlined(page):
    """The text of the page with its files in it."""
    def put(element):
        def replace(found):
            text = (page.parent / found.group(1)).read_text(encoding="utf-8")
            if f"</{element}" in text or "<!--" in text:
                sys.exit(f"{found.group(1)}: has text that would end the <{element}> element")
            return f"<{element}>\n{text}</{element}>"
        return replace
    text = STYLE.sub(put("style"), page.read_text(encoding="utf-8"))
    return SCRIPT.sub(put("script"), text)


def array(name, text):
    data = text.encode()
    lines = (",".join(map(str, data[at:at + BYTES_A_LINE])) for at in range(0, len(data), BYTES_A_LINE))
    body = ",\n    ".join(lines)
    return (f"const unsigned char rh_drill_page_{name}[] = {{\n    {body}}};\n"
            f"const size_t rh_drill_page_{name}_size = sizeof(rh_drill_page_{name});\n")


def main():
    page, output = map(pathlib.Path, sys.argv[1:])
    parts = RESULT.split(inlined(page))
    if len(parts) != 2:
        sys.exit(f"{page}: has {len(parts) - 1} places for the result instead of one")
    output.write_text('#include "drill/report/page.h"\n\n' + array("head", parts[0])
                      + array("tail", parts[1]))


if __name__ == "__main__":
    main()

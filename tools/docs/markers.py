"""Places in a page that a command fills: from `<!-- begin NAME -->` to `<!-- end NAME -->`.

A place whose markers stand in lines of their own holds a block, such as a table; within a line it holds a figure.
"""

from __future__ import annotations

import re
from collections.abc import Callable

PLACE = re.compile(r"<!-- begin (?P<name>[^>]+?) -->(?P<body>.*?)<!-- end (?P=name) -->", re.DOTALL)
MARKER = re.compile(r"<!-- (?:begin|end) [^>]+? -->")


def fill(text: str, content: Callable[[str], str]) -> str:
    """Return a page with every place filled.

    Args:
        text: the page.
        content: returns what belongs into the place of a name.

    Raises:
        ValueError: a marker has no partner.
    """

    def written(match: re.Match[str]) -> str:
        name, between = match["name"], "\n\n" if "\n" in match["body"] else ""
        return f"<!-- begin {name} -->{between}{content(name)}{between}<!-- end {name} -->"

    if strays := MARKER.findall(PLACE.sub("", text)):
        raise ValueError(f"{strays[0]}: has no partner")
    return PLACE.sub(written, text)

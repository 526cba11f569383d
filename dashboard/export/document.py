"""How an exported YAML document is written: block text for queries, keys in the order given, a word on its origin."""

from typing import Any

import yaml


class _Dumper(yaml.SafeDumper):
    """Safe YAML without anchors, with | blocks for text of several lines."""

    def ignore_aliases(self, _data: object) -> bool:
        """Write a repeated value twice: an anchor saves a line and costs the reader a search."""
        return True


def _text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    style = "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)


def dump(document: Any, *, header: str) -> str:
    """YAML text of `document`, with each line of `header` as a comment above it."""
    comment = "".join(f"# {line}".rstrip() + "\n" for line in header.splitlines())
    return comment + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=10_000, allow_unicode=True)

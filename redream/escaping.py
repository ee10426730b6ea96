"""A stranger's text where it is written: it stays text, whatever would read it as more.

A caption, an author's name or a folder's may hold line breaks, HTML, a spreadsheet's formula or the
bytes that command a terminal. Each is escaped once, by whoever writes it.
"""

import re

_MARKDOWN = re.compile(r"([\\`*<>\[\]|&])")
_FORMULA = ("=", "+", "-", "@")


def on_a_terminal(text: str) -> str:
    """A text without the characters that could command a terminal or turn its direction."""
    return "".join(each if each.isprintable() or each == "\n" else "\ufffd" for each in text)


def on_one_line(text: str) -> str:
    """The same on one line."""
    return on_a_terminal(" ".join(text.split()))


def in_markdown(text: str) -> str:
    """A text that stays text in Markdown: on one line, no HTML, no links, no cells of a table."""
    return _MARKDOWN.sub(r"\\\1", on_one_line(text))


def in_a_spreadsheet(text: str) -> str:
    """A text that a spreadsheet takes for no formula: one that could be gets an apostrophe."""
    text = on_one_line(text)
    return f"'{text}" if text.startswith(_FORMULA) else text

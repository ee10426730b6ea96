"""The argument parser of the small tools."""

import argparse
from typing import NoReturn


class ToolParser(argparse.ArgumentParser):
    """An argparse parser whose errors are exceptions of one line, like everyone's."""

    def error(self, message: str) -> NoReturn:
        """Raises a ValueError that says what is wrong and where help is."""
        raise ValueError(f"{message}; see `{self.prog} --help`")

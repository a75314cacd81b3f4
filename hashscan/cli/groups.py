"""A group of commands whose help says the first sentence of each whole. click cuts them to the width of the terminal."""

from __future__ import annotations

import click

_WHOLE = 1000  # characters


class Group(click.Group):
    """The same but for its help."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The table of commands, folded by words."""
        found = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(_WHOLE)) for name, one in found if one is not None])

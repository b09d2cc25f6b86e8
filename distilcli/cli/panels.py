"""Help pages without Rich: options in titled groups, at a tenth of the start-up cost."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

from distilcli.cli.words import read_plainly

WIDTH = {"max_content_width": 110}


class PanelCommand(TyperCommand):
    """A command whose help groups its options by `rich_help_panel`, and whose flags have readers of ours."""

    def get_params(self, ctx: Any) -> list[Any]:  # their types are private to Typer
        """All parameters, ``--help`` included."""
        return read_plainly(super().get_params(ctx))

    def format_options(self, ctx: Any, formatter: Any) -> None:  # as above
        """Write one section per panel, in order of appearance."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                default = "Arguments" if param.param_type_name == "argument" else "Help"
                title = getattr(param, "rich_help_panel", None) or default
                sections.setdefault(title, []).append(record)
        for title, records in sections.items():
            with formatter.section(title):
                formatter.write_dl(records)

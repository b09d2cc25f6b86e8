"""``distilcli doctor``: is everything there that transcribing needs?"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from distilcli.errors import EnvironmentProblem


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print an array of findings.")] = False,
) -> None:
    """Check this installation: libraries, devices, codecs, cache, hub, bundled model.

    Each line is ok, warn (something optional is missing) or fail (transcribing will not work).
    The exit code is 6 when a check fails.
    """
    from distilcli.doctor import examine

    findings = []
    for finding in examine():
        findings.append(finding)
        if not as_json:
            typer.echo(f"{finding.status:5}{finding.subject:20}{finding.detail}")
            if finding.hint:
                typer.echo(f"{'':25}{finding.hint}")
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    failed = [finding for finding in findings if finding.status == "fail"]
    if failed:
        raise EnvironmentProblem(
            f"{len(failed)} of {len(findings)} checks failed: {', '.join(one.subject for one in failed)}",
            hint=failed[0].hint,
        )

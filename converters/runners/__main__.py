"""``python -m distilcli.converters.runners NAME``: one probe by one runtime, request and answer as JSON.

Lives as long as one answer: runtimes may crash, hang or print, and only this process suffers from it.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from distilcli.converters.runners import RUNNERS, UNFIT, ProbeRequest
from distilcli.errors import DistilError, EnvironmentProblem


def main() -> int:
    """Read the request from stdin, write the answer to stdout; returns the exit code."""
    # Libraries in C print on the stream with the number 1: the answer gets a copy of it, they get stderr.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    content = json.load(sys.stdin)
    target = Path(content.pop("target"))
    request = ProbeRequest(**{**content, "audio": Path(content["audio"]), "prompt": tuple(content["prompt"])})
    try:
        answer = importlib.import_module(RUNNERS[sys.argv[1]].module).run(target, request)
    except DistilError as error:
        sys.stderr.write(f"{error.message}\n")
        # A damaged export is a ModelError; anything else that is missing is no fault of the export.
        return UNFIT if type(error) is EnvironmentProblem else error.exit_code
    json.dump(asdict(answer), answers)
    answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())

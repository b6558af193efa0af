"""`ai-gateway import litellm config.yaml`: another gateway's configuration, made into `gateway.yaml`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from ai_gateway.settings.load import load_settings
from ai_gateway.settings.tree import SettingsError


def add_import(commands: Any) -> None:
    """`commands`: what `add_subparsers` gave."""
    parser = commands.add_parser("import", help="make a gateway.yaml of another gateway's settings")
    parser.add_argument("source", choices=["litellm"], help="the gateway it comes from")
    parser.add_argument("file", type=Path, help="its configuration, such as config.yaml")
    parser.add_argument("--output", type=Path, help="the file to write; standard output without")
    parser.add_argument(
        "--strict", action="store_true", help="exit with 1 if anything was not carried over"
    )


def run(given: argparse.Namespace) -> int:
    """The result on standard output or in a file, the report on standard error."""
    from ai_gateway.migrate_from.litellm import convert

    try:
        draft = convert(given.file)
    except SettingsError as error:
        for problem in error.problems:
            print(f"ai-gateway: {problem}", file=sys.stderr)
        return 2
    text = draft.text(given.file.name)
    if given.output is None:
        print(text, end="")
    elif given.output.exists():
        print(f"ai-gateway: {given.output} is there already; name another", file=sys.stderr)
        return 2
    else:
        given.output.write_text(text, "utf-8")
        # As `ai-gateway check` will see it, once the variables are set.
        try:
            load_settings(dict.fromkeys(draft.variables, "set"), given.output)
        except SettingsError as error:
            for problem in error.problems:
                draft.left(0, problem.name, f"the result is not good yet: {problem}")
    print("\n".join(draft.report()), file=sys.stderr)
    print(
        f"{draft.count('carried')} carried over, {draft.count('changed')} with a difference, "
        f"{draft.count('left')} not",
        file=sys.stderr,
    )
    return 1 if given.strict and draft.count("left") else 0

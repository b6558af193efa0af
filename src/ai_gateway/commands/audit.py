"""`ai-gateway audit verify`: whether any kept record was changed, taken out or put in."""

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Any

from ai_gateway.model.audit import ChainReport
from ai_gateway.settings.tree import Settings
from ai_gateway.storage.database import DatabaseUnavailable

from .keys import open_database


def add_audit(commands: Any, config: argparse.ArgumentParser) -> None:
    audit = commands.add_parser("audit", help="verify what is kept of calls")
    verbs = audit.add_subparsers(dest="verb", metavar="verb", required=True)
    verify = verbs.add_parser(
        "verify",
        parents=[config],
        help="follow every chain of hashes; 1 where something was changed",
    )
    verify.add_argument(
        "--file",
        type=Path,
        action="append",
        default=[],
        help="a JSONL file, instead of the database",
    )
    verify.add_argument(
        "--head",
        action="append",
        default=[],
        metavar="CHAIN:SEQ:HASH",
        help="a head that the log told (audit_head), which must be in its chain",
    )


def run(settings: Settings, given: argparse.Namespace) -> int:
    key = None if settings.audit_key is None else settings.audit_key.reveal().encode()
    heads: list[str] = given.head
    try:
        if given.file:
            from ai_gateway.audit.jsonl import verify_file

            reports = [verify_file(path, key) for path in given.file]
            lost = []
        else:
            reports, lost = asyncio.run(_verify(settings, key, heads))
    except DatabaseUnavailable as error:
        print(f"ai-gateway: the database cannot be reached ({error})", file=sys.stderr)
        return 3
    except OSError as error:
        print(f"ai-gateway: {error.filename}: {error.strerror}", file=sys.stderr)
        return 3
    for report in reports:
        print(_line(report))
        for fault in report.faults:
            print(f"  {fault}")
    for fault in lost:
        print(fault)
    if key is None:
        print("AUDIT_KEY is not set: who can write the records could have made these hashes too.")
    faulty = bool(lost) or any(report.faults for report in reports)
    print("NOT as it was written" if faulty else "untouched")
    return 1 if faulty else 0


async def _verify(
    settings: Settings, key: bytes | None, heads: list[str]
) -> tuple[list[ChainReport], list[str]]:
    database = open_database(settings)
    try:
        await database.open()
        from ai_gateway.audit.search import AuditSearch

        search = AuditSearch(database)
        reports = await search.verify(key)
        lost = [head for head in heads if not await search.has_link(*_head(head))]
    finally:
        await database.close()
    return reports, [f"the head {head} is not in its chain any more" for head in lost]


def _head(text: str) -> tuple[str, int, str]:
    chain, seq, hash = text.split(":")
    return chain, int(seq), hash


def _line(report: ChainReport) -> str:
    return f"chain {report.chain}: {report.records} records up to {report.last}, head {report.head}"

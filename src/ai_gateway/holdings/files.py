"""Files that the gateway holds itself: one a file in a directory, under a name of our own making."""

import asyncio
import os
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

from ai_gateway.model.errors import GatewayError

_ID = re.compile(r"file-gw-[0-9a-f]{32}")
_PIECE = 256 * 1024


def new_file_id() -> str:
    return f"file-gw-{token_hex(16)}"


class FileShelf:
    def __init__(self, directory: Path, *, most_bytes: int) -> None:
        self._directory = directory
        self._most_bytes = most_bytes

    def path(self, id: str) -> Path:
        if not _ID.fullmatch(id):
            raise GatewayError("not_found", f"There is no file {id[:100]!a}.")
        return self._directory / id

    async def write(self, id: str, pieces: AsyncIterator[bytes]) -> int:
        """The bytes written. What breaks off leaves nothing. Raises GatewayError(too_large | internal)."""
        path = self.path(id)
        part = path.with_suffix(".part")
        size = 0
        try:
            file = await on_thread(lambda: _create(part))
            with file:
                async for piece in pieces:
                    size += len(piece)
                    if size > self._most_bytes:
                        raise GatewayError(
                            "too_large", f"A file may have {self._most_bytes} bytes at most."
                        )
                    await on_thread(lambda piece=piece: file.write(piece))
            await on_thread(lambda: os.replace(part, path))
        except OSError as error:
            raise GatewayError(
                "unavailable", "The gateway cannot keep files now.", code="storage_full"
            ) from error
        finally:
            part.unlink(missing_ok=True)
        return size

    async def read(self, id: str) -> AsyncIterator[bytes]:
        """Raises GatewayError(not_found)."""
        try:
            file = await on_thread(lambda: self.path(id).open("rb"))
        except FileNotFoundError:
            raise GatewayError("not_found", f"There is no file {id[:100]!a}.") from None
        with file:
            while piece := await on_thread(lambda: file.read(_PIECE)):
                yield piece

    async def remove(self, id: str) -> None:
        await on_thread(lambda: self.path(id).unlink(missing_ok=True))


def _create(path: Path) -> BinaryIO:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return path.open("wb")


async def on_thread(work: Callable[[], Any]) -> Any:
    return await asyncio.get_running_loop().run_in_executor(None, work)

"""Takes out of an environment what no program that runs in it reads: for the image, where it is most of the size.

python scripts/trim_image.py FOLDER     (a site-packages folder; the Dockerfile calls it)
"""

import shutil
import struct
import sys
from pathlib import Path

SUFFIXES = (".a", ".c", ".cpp", ".h", ".hpp", ".pxd", ".pxi", ".pyi", ".pyx")
"""For compilers and type checkers."""
FOLDERS = ("alembic/testing", "numpy/f2py", "sqlalchemy/testing")
AWS_SERVICES = frozenset({"sts", "sso", "sso-oidc", "signin"})
"""Those botocore asks for credentials; the gateway calls Bedrock itself and only signs with them."""


_LOADED = 1
"""PT_LOAD."""


def trim(packages: Path) -> None:
    for folder in FOLDERS:
        shutil.rmtree(packages / folder, ignore_errors=True)
    for folder in sorted(packages.rglob("tests")):
        shutil.rmtree(folder, ignore_errors=True)
    for service in (packages / "botocore/data").iterdir():
        if service.is_dir() and service.name not in AWS_SERVICES:
            shutil.rmtree(service)
    for path in packages.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        if path.suffix in SUFFIXES:
            path.unlink()
        elif ".so" in path.suffixes:
            strip(path)


def strip(path: Path) -> None:
    """Leaves of a shared library what a program that loads it maps: its loaded segments. What else is in the file
    (symbols and debug information: nine tenths of some wheels) is read by debuggers alone. binutils' strip
    breaks what auditwheel has patched (numpy's OpenBLAS, for one), as it lays segments anew; here each is
    moved by whole pages. A file of another kind stays as it is.
    ELF, 64 bits, little-endian: man 5 elf."""
    image = path.read_bytes()
    if image[:6] != b"\x7fELF\x02\x01":
        return
    (table,) = struct.unpack_from("<Q", image, 32)
    size, count = struct.unpack_from("<HH", image, 54)
    headers = [
        (at, *struct.unpack_from("<IxxxxQ16xQ8xQ", image, at))
        for at in range(table, table + size * count, size)
    ]
    kept = bytearray()
    moved: list[tuple[int, int, int]] = []
    """Of each segment: its begin, its end, and how far it moves to the front."""
    for offset, length, align in sorted(
        (offset, length, align) for _, kind, offset, length, align in headers if kind == _LOADED
    ):
        begin = moved[-1][1] if moved and offset < moved[-1][1] else offset
        begins_at = len(kept) + (begin - len(kept)) % max(align, 1)
        kept += bytes(begins_at - len(kept)) + image[begin : offset + length]
        moved.append((begin, offset + length, begin - begins_at))

    def place(offset: int, length: int) -> int | None:
        return next(
            (offset - by for b, e, by in moved if b <= offset <= offset + length <= e), None
        )

    new_table = place(table, size * count)
    if new_table is None:
        return
    for at, _, offset, length, align in headers:
        # Nothing of the file may still be zeroed memory: its place must go with its address.
        new = place(offset, length) if length else offset % max(align, 1)
        if new is None:
            return
        struct.pack_into("<Q", kept, new_table + at - table + 8, new)
    struct.pack_into("<Q", kept, 32, new_table)
    # No table of sections: neither its place nor entries.
    struct.pack_into("<Q", kept, 40, 0)
    struct.pack_into("<HHH", kept, 58, 0, 0, 0)
    path.write_bytes(kept)


if __name__ == "__main__":
    trim(Path(sys.argv[1]))

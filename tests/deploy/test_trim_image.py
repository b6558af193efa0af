"""What the image leaves out is missed by nothing that it runs."""

import os
import re
import shutil
import struct
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path

import pytest
from scripts.trim_image import SUFFIXES, strip, trim

ROOT = Path(__file__).parents[2]
USES_EVERY_LIBRARY = """
import importlib, pathlib, sys
packages = pathlib.Path(sys.argv[1])
for path in sorted(packages.rglob("*.so")):
    name = ".".join(path.relative_to(packages).parts).split(".cpython-")[0].split(".abi3")[0]
    if "multiarray_tests" in name or ".libs" in name:
        continue
    importlib.import_module(name.removesuffix(".so"))
    assert pathlib.Path(sys.modules[name.removesuffix(".so")].__file__).is_relative_to(packages)
    print(name)
"""
CREDENTIALS = """
from botocore.session import get_session
print(get_session().get_credentials().get_frozen_credentials().access_key)
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What run.txt installs, copied and trimmed."""
    folder = tmp_path_factory.mktemp("packages")
    for name in re.findall(r"^([\w.-]+)", (ROOT / "requirements/run.txt").read_text(), re.M):
        try:
            files = distribution(name).files or []
        except ModuleNotFoundError:  # of another system or Python
            continue
        for file in files:
            if ".." not in file.parts and "__pycache__" not in file.parts:
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), folder / file)
    before = size_of(folder)
    trim(folder)
    assert size_of(folder) < 0.6 * before
    return folder


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def run(packages: Path, program: str, **environ: str) -> str:
    """With nothing on the path but what was trimmed."""
    done = subprocess.run(
        [sys.executable, "-S", "-c", program, str(packages)],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": f"{packages}:{ROOT / 'src'}", **environ},
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_library_loads(packages: Path) -> None:
    loaded = run(packages, USES_EVERY_LIBRARY).split()
    assert len(loaded) > 40
    assert {"usearch.compiled", "numkong._numkong", "uvloop.loop"} <= set(loaded)


def test_nothing_that_only_compilers_read_is_left(packages: Path) -> None:
    assert [path for path in packages.rglob("*") if path.suffix in SUFFIXES] == []
    assert list(packages.rglob("tests")) == []


def test_aws_credentials_are_still_had_from_the_token_service(
    packages: Path, tmp_path: Path
) -> None:
    """As in a pod: a web identity is changed for credentials by a call that botocore's data describe."""
    (tmp_path / "token").write_text("a-token")
    answer = (
        "<AssumeRoleWithWebIdentityResponse xmlns='https://sts.amazonaws.com/doc/2011-06-15/'>"
        "<AssumeRoleWithWebIdentityResult><Credentials><AccessKeyId>AKIDFROMSTS</AccessKeyId>"
        "<SecretAccessKey>s</SecretAccessKey><SessionToken>t</SessionToken>"
        "<Expiration>2099-01-01T00:00:00Z</Expiration></Credentials>"
        "</AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
    )
    serve = f"""
import http.server, threading, os
class Sts(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        asked = self.rfile.read(int(self.headers["content-length"]))
        assert b"Action=AssumeRoleWithWebIdentity" in asked and b"a-token" in asked
        self.send_response(200); self.end_headers(); self.wfile.write({answer.encode()!r})
    def log_message(self, *_): pass
server = http.server.HTTPServer(("127.0.0.1", 0), Sts)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["AWS_ENDPOINT_URL_STS"] = f"http://127.0.0.1:{{server.server_port}}"
"""
    told = run(
        packages, serve + CREDENTIALS, HOME=str(tmp_path), AWS_REGION="eu-west-1",
        AWS_ROLE_ARN="arn:aws:iam::123456789012:role/gateway",
        AWS_WEB_IDENTITY_TOKEN_FILE=str(tmp_path / "token"),
    )  # fmt: skip
    assert told == "AKIDFROMSTS\n"


def test_bedrocks_calls_are_signed_and_its_streams_read(packages: Path) -> None:
    told = run(
        packages,
        """
import asyncio
from ai_gateway.dialects.bedrock_converse.frames import EventStreamFrames
from ai_gateway.upstream.signing import AwsSigner
signer = AwsSigner(service="bedrock", region="eu-west-1")
print(dict(asyncio.run(signer.headers("https://bedrock/model/x/converse", b"{}")))[b"authorization"].decode())
assert EventStreamFrames().feed(b"") == []
""",
        AWS_ACCESS_KEY_ID="AKIDEXAMPLE",
        AWS_SECRET_ACCESS_KEY="secret",
    )
    assert "/eu-west-1/bedrock/aws4_request, SignedHeaders=" in told


def test_every_segment_stays_where_the_loader_can_map_it(tmp_path: Path) -> None:
    """One without a byte in the file (zeroed memory alone) as well: glibc wants its place in the file and
    its address to be alike within a page."""
    segments = [(0, 0, 0x200), (0x2234, 0x3234, 0)]
    table = [
        struct.pack("<IIQQQQQQ", 1, 6, offset, address, address, length, 0x300, 0x1000)
        for offset, address, length in segments
    ]
    head = b"\x7fELF\x02\x01" + bytes(10)
    head += struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0x5000, 0, 64, 56, len(table), 64, 3, 2)
    path = tmp_path / "library.so"
    path.write_bytes((head + b"".join(table)).ljust(0x6000, b"\0"))
    strip(path)
    stripped = path.read_bytes()
    assert len(stripped) < 0x6000
    for at in range(len(table)):
        offset, address = struct.unpack_from("<QQ", stripped, 64 + 56 * at + 8)
        assert (address - offset) % 0x1000 == 0


@pytest.mark.parametrize("content", [b"", b"#!/bin/sh\n", b"\x7fELF\x01\x01" + bytes(60)])
def test_what_is_no_library_of_64_bits_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "library.so"
    path.write_bytes(content)
    strip(path)
    assert path.read_bytes() == content

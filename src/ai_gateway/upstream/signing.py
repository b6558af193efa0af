"""Credentials that are made anew for each request, or each hour: AWS's signatures, Google's tokens.

Both by the clouds' own libraries, imported only where such a provider is configured. What they may wait
for (a metadata server, a token endpoint) they wait for on a thread.
"""

import asyncio
from collections.abc import Callable
from time import time
from typing import Any, Protocol

from .faults import UpstreamFault

_CLOUD_PLATFORM = "https://www.googleapis.com/auth/cloud-platform"
_EARLY_SECONDS = 300.0
"""A token is renewed so long before it ends, so that none ends under way."""
_AGAIN_SECONDS = 10.0
"""Between a renewal that failed and the next, while the token of before is good."""


class Signer(Protocol):
    async def headers(self, url: str, body: bytes) -> list[tuple[bytes, bytes]]:
        """What a POST of `body` to `url` must carry. Raises UpstreamFault(credential)."""
        ...


class AwsSigner:
    """AWS Signature Version 4, with credentials found as AWS's own tools find them (variables, profile,
    container, instance).  docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html"""

    def __init__(self, *, service: str, region: str) -> None:
        self._service = service
        self._region = region
        self._credentials: Any = None

    async def headers(self, url: str, body: bytes) -> list[tuple[bytes, bytes]]:
        if self._credentials is None:
            self._credentials = await _on_thread(_aws_credentials)
        credentials = self._credentials
        if credentials is None:
            raise UpstreamFault("credential", "the gateway has no AWS credentials")
        # Only credentials that are lent for a time may have to be fetched.
        if hasattr(credentials, "refresh_needed"):
            frozen = await _on_thread(credentials.get_frozen_credentials)
        else:
            frozen = credentials.get_frozen_credentials()
        return _signed(url, body, frozen, self._service, self._region)


def _aws_credentials() -> Any:
    from botocore.session import get_session  # pyright: ignore

    session: Any = get_session()
    return session.get_credentials()


def _signed(
    url: str, body: bytes, credentials: Any, service: str, region: str
) -> list[tuple[bytes, bytes]]:
    from botocore.auth import SigV4Auth  # pyright: ignore
    from botocore.awsrequest import AWSRequest  # pyright: ignore

    request: Any = AWSRequest(
        method="POST", url=url, data=body, headers={"content-type": "application/json"}
    )
    signature: Any = SigV4Auth(credentials, service, region)
    signature.add_auth(request)
    return [
        (name.lower().encode(), str(value).encode("latin-1"))
        for name, value in request.headers.items()
        if name.lower() != "content-type"
    ]


class GoogleSigner:
    """An access token from Application Default Credentials (a service account's file, workload
    identity, the metadata server), renewed before it ends.
    cloud.google.com/docs/authentication/application-default-credentials"""

    def __init__(self) -> None:
        self._credentials: Any = None
        self._header: list[tuple[bytes, bytes]] = []
        self._good_until = 0.0
        self._renew_at = 0.0
        self._renewing: asyncio.Task[None] | None = None

    async def headers(self, url: str, body: bytes) -> list[tuple[bytes, bytes]]:
        if time() >= min(self._renew_at, self._good_until):
            # Calls that come at once wait for one renewal.
            if self._renewing is None:
                self._renewing = asyncio.get_running_loop().create_task(self._renew())
            try:
                await asyncio.shield(self._renewing)
            except UpstreamFault:
                # The token of before may still be good for a while: it is asked for again later.
                if time() >= self._good_until:
                    raise
        return self._header

    async def _renew(self) -> None:
        try:
            token, expires = await _on_thread(self._fetch)
        except UpstreamFault:
            self._renew_at = time() + _AGAIN_SECONDS
            raise
        finally:
            self._renewing = None
        self._header = [(b"authorization", b"Bearer " + token.encode())]
        self._good_until = expires
        self._renew_at = expires - _EARLY_SECONDS

    def _fetch(self) -> tuple[str, float]:
        import google.auth  # pyright: ignore
        from google.auth.transport.urllib3 import Request  # pyright: ignore
        from urllib3 import PoolManager

        if self._credentials is None:
            found: Any = google.auth.default(scopes=[_CLOUD_PLATFORM])  # pyright: ignore
            self._credentials = found[0]
        self._credentials.refresh(Request(PoolManager()))
        # Google's expiry is UTC without a zone.
        from datetime import UTC

        expires = self._credentials.expiry.replace(tzinfo=UTC).timestamp()
        return self._credentials.token, expires


async def _on_thread(work: Callable[[], Any]) -> Any:
    """Raises UpstreamFault for whatever the library could not do; its words may hold a secret."""
    try:
        return await asyncio.get_running_loop().run_in_executor(None, work)
    except Exception as error:
        raise UpstreamFault(
            "credential", f"the gateway's own credential could not be had ({type(error).__name__})"
        ) from None

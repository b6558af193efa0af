"""Who makes a call. A known key is answered at once; an unknown one is looked up, and then known.

Closed: every call needs a key (or a token). Open: a call without one is of the tenant `default`, and
`X-User-ID` names its user; a key that is given still counts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from time import time

from msgspec import structs

from ai_gateway.model.call import Caller
from ai_gateway.model.errors import GatewayError
from ai_gateway.model.policy import UNRESTRICTED, Policy

from . import headers as header
from .keys import PREFIX, hash_of, is_well_formed
from .known import KnownKey, KnownKeys

DEFAULT_TENANT = "default"
_PREFIX = PREFIX.encode()
_MOST_WAITING = 256
_RETRY_SECONDS = 1.0

LookUp = Callable[[bytes], Awaitable[KnownKey | None]]
"""A key's hash -> the key, None where there is none. Raises GatewayError(unavailable)."""


class Access:
    def __init__(
        self,
        *,
        closed: bool,
        static: Mapping[bytes, KnownKey],
        known: KnownKeys,
        look_up: LookUp | None = None,
        read_token: LookUp | None = None,
        find: Callable[[str], Awaitable[KnownKey | None]] | None = None,
        tenant_policy: Callable[[str], Awaitable[Policy | None]] | None = None,
        default_policy: Policy = UNRESTRICTED,
    ) -> None:
        """`static`: keys of `gateway.yaml` by hash. `look_up`: keys of the database. `read_token`:
        whose JWT it is, by the whole token. `find`: a key of the database by its id. `tenant_policy`:
        None for a tenant that is disabled. `default_policy`: of callers without a key."""
        self.closed = closed
        self._static = static
        self._known = known
        self._look_up = look_up
        self._read_token = read_token
        self._find_by_id = find
        self._tenant_policy = tenant_policy
        self._anonymous = Caller(tenant=DEFAULT_TENANT, user="anonymous", policy=default_policy)
        self._has_keys = bool(static) or look_up is not None or read_token is not None
        self._waiting: dict[bytes, asyncio.Future[KnownKey | None]] = {}

    def replace(
        self, static: Mapping[bytes, KnownKey], default_policy: Policy, *, closing: bool
    ) -> None:
        """Other keys of `gateway.yaml`; `closing`: from now on calls need a key."""
        self._static = static
        self._anonymous = structs.replace(self._anonymous, policy=default_policy)
        self._has_keys = self._has_keys or bool(static)
        self.closed = self.closed or closing

    def take_keys(
        self,
        look_up: LookUp,
        find: Callable[[str], Awaitable[KnownKey | None]],
        tenant_policy: Callable[[str], Awaitable[Policy | None]],
        *,
        closing: bool,
    ) -> None:
        """Those that the database has come to hold; `closing`: from now on calls need a key."""
        self._look_up = look_up
        self._find_by_id = find
        self._tenant_policy = tenant_policy
        self._has_keys = True
        self.closed = self.closed or closing

    def identify(self, headers: Mapping[bytes, bytes]) -> Caller | None:
        """Who asks, where that is known; None where it must be looked up.

        Raises GatewayError(authentication | permission | invalid_request).
        """
        given = self._given(headers)
        if given is None:
            return _named(self._anonymous, headers)
        try:
            key = self._recall(hash_of(given))
        except KeyError:
            return None
        return _caller(key, headers)

    async def look_up(self, headers: Mapping[bytes, bytes]) -> Caller:
        """For whom `identify` does not know. Raises like it, and GatewayError(unavailable)."""
        given = self._given(headers)
        if given is None:
            return _named(self._anonymous, headers)
        return _caller(await self._find(given), headers)

    async def caller(self, headers: Mapping[bytes, bytes]) -> Caller:
        """`identify`, and `look_up` where that does not know."""
        caller = self.identify(headers)
        return caller if caller is not None else await self.look_up(headers)

    async def again(self, caller: Caller) -> Caller | None:
        """A caller of before, as its key is now; None where it may call no more. For work that outlasts
        the request that asked for it. Raises GatewayError(unavailable)."""
        if caller.key_id is None:
            # It came without a key, or with a token, which ends by itself.
            if self.closed and self._read_token is None:
                return None
            allowed = self._tenant_policy is None or await self._tenant_policy(caller.tenant)
            return caller if allowed else None
        key = next(
            (k for k in self._static.values() if k.caller.key_id == caller.key_id), None
        ) or (None if self._find_by_id is None else await self._find_by_id(caller.key_id))
        if key is None or key.caller.tenant != caller.tenant or time() >= key.expires_at:
            return None
        return structs.replace(key.caller, user=caller.user, tags=caller.tags)

    async def holder(self, headers: Mapping[bytes, bytes]) -> KnownKey | None:
        """The key itself, for the admin API; None where there is none or it is not good."""
        given = header.credential(headers)
        if given is None or not self._has_keys:
            return None
        try:
            key = self._recall(hash_of(given))
        except KeyError:
            key = await self._find(given)
        return key if key is not None and time() < key.expires_at else None

    def _given(self, headers: Mapping[bytes, bytes]) -> bytes | None:
        """What has to be checked; None for a caller who may go without."""
        given = header.credential(headers)
        if self.closed:
            if given is None:
                raise _missing()
            return given
        if given is None or not self._has_keys:
            return None
        # Open: SDKs always send some key. Only what is ours is held to be one.
        ours = given.startswith(_PREFIX) or hash_of(given) in self._static
        return given if ours or (self._read_token is not None and _is_token(given)) else None

    def _recall(self, hash: bytes) -> KnownKey | None:
        """Raises KeyError where nothing is known."""
        key = self._static.get(hash)
        if key is not None:
            return key
        key = self._known.get(hash)
        if key is not None and time() >= key.checked_until:
            raise KeyError
        return key

    async def _find(self, given: bytes) -> KnownKey | None:
        """Many calls with one unknown key make one look-up."""
        look_up = self._source(given)
        if look_up is None:
            return None
        hash = hash_of(given)
        under_way = self._waiting.get(hash)
        if under_way is None:
            if len(self._waiting) >= _MOST_WAITING:
                raise unavailable("Too many unknown keys are being looked up.")
            epoch = self._known.epoch
            under_way = asyncio.ensure_future(look_up(given))
            self._waiting[hash] = under_way

            def done(future: "asyncio.Future[KnownKey | None]") -> None:
                del self._waiting[hash]
                if future.cancelled() or future.exception() is not None:
                    return
                # A token that is not good now may be once its issuer's new keys are here.
                if future.result() is not None or look_up is self._look_up:
                    self._known.keep(hash, future.result(), epoch)

            under_way.add_done_callback(done)
        # Shielded: a caller who leaves does not end the look-up for the others.
        return await asyncio.shield(under_way)

    def _source(self, given: bytes) -> LookUp | None:
        if given.startswith(_PREFIX):
            well_formed = is_well_formed(given.decode("latin-1"))
            return self._look_up if well_formed else None
        return self._read_token if _is_token(given) else None


def unavailable(message: str) -> GatewayError:
    return GatewayError(
        "unavailable", message, code="access_unavailable", retry_after=_RETRY_SECONDS
    )


def _caller(key: KnownKey | None, headers: Mapping[bytes, bytes]) -> Caller:
    if key is None or time() >= key.expires_at:
        raise _refused()
    if b"x-user-id" in headers and key.user_is_fixed and header.user(headers) != key.caller.user:
        raise GatewayError(
            "permission",
            "This key belongs to one user: X-User-ID may not name another.",
            field="X-User-ID",
            code="user_not_allowed",
        )
    return _named(key.caller, headers)


def _named(caller: Caller, headers: Mapping[bytes, bytes]) -> Caller:
    """With the user and the tags that the headers name."""
    user = header.user(headers)
    if user is not None and user != caller.user:
        caller = structs.replace(caller, user=user)
    given = headers.get(b"x-gateway-tags")
    if given is not None:
        # A key's own tags come first and are not to be overridden.
        own = {tag.partition("=")[0] for tag in caller.tags}
        more = tuple(t for t in header.tags(given) if t.partition("=")[0] not in own)
        caller = structs.replace(caller, tags=(*caller.tags, *more))
    return caller


def _is_token(given: bytes) -> bool:
    """Whether it has the shape of a JWT (RFC 7519)."""
    return given.startswith(b"eyJ") and given.count(b".") == 2


def _missing() -> GatewayError:
    return GatewayError(
        "authentication",
        "No API key was given. Send it as 'Authorization: Bearer <key>' or 'x-api-key: <key>'.",
        code="missing_api_key",
    )


def _refused() -> GatewayError:
    """One answer for every key that is not good: unknown, disabled, expired or deleted."""
    return GatewayError("authentication", "The API key is not valid.", code="invalid_api_key")

"""Access as configured: which keys there are, where they are looked up, and whether one is needed."""

from collections.abc import Callable, Mapping
from functools import cache, partial
from math import inf
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from ai_gateway.model.call import Caller
from ai_gateway.model.key import ConfiguredKey, ConfiguredTenant, TokenIssuer
from ai_gateway.model.policy import UNRESTRICTED, Policy
from ai_gateway.storage.database import Database, DatabaseUnavailable

from .access import DEFAULT_TENANT, Access, LookUp
from .first_key import FirstKey
from .follow import Follower
from .keys import hash_of
from .known import KnownKey, KnownKeys
from .policies import merge

if TYPE_CHECKING:
    from .administer import Administration
    from .sign_in import SignIns
    from .store import KeyStore

Mode = Literal["auto", "until-keys", "open", "closed"]


class AccessSettings(Struct, frozen=True, kw_only=True):
    mode: Mode
    """`auto` and `until-keys`: closed once there is anything to show a key to, ADMIN_KEY or a key.
    They differ in the addresses that are listened on before, which is no matter here."""
    has_admin_key: bool
    tenants: Mapping[str, ConfiguredTenant]
    keys: Mapping[str, ConfiguredKey]
    issuers: Mapping[str, TokenIssuer]
    known_keys: int
    """How many keys of the database are kept in memory."""
    stale_seconds: float


class BadAccess(ValueError):
    """Keys that cannot be; the message says which and why, and never the key."""


class OpenAccess:
    """Access at work, and what goes with it."""

    def __init__(
        self,
        access: Access,
        settings: AccessSettings,
        known: KnownKeys,
        held: "_Held",
        *,
        reveal: Callable[[str], str],
        administration: "Callable[[], Administration]",
        follower: Follower | None,
        sign_ins: "SignIns | None",
    ) -> None:
        self.access = access
        self.sign_ins = sign_ins
        """None where nobody can sign in by an OpenID provider."""
        self.administration = administration
        """Made when first used: it needs the database."""
        self.follower = follower
        """None where no key of the database can count."""
        self.first_key: FirstKey | None = None
        """Where none of the database counts yet."""
        self._settings = settings
        self._known = known
        self._held = held
        self._reveal = reveal

    def note(self) -> str | None:
        """What `/ready` says of the keys; None where all is well."""
        return None if self.follower is None else self.follower.note()

    async def changed(self) -> None:
        """This replica forgets at once what it just changed; the others do within a second."""
        if self.follower is not None:
            await self.follower.look()

    def prepare(
        self, tenants: Mapping[str, ConfiguredTenant], keys: Mapping[str, ConfiguredKey]
    ) -> Callable[[], None]:
        """Tenants and keys of `gateway.yaml` read anew: what is given back puts them in force.
        It may close an open gateway, and never opens a closed one. Raises BadAccess."""
        policies = {id: tenant.policy for id, tenant in tenants.items()}
        static = static_keys(keys, policies, self._reveal)

        def swap() -> None:
            self._held.replace(tenants, policies)
            closing = bool(static) and self._settings.mode in ("auto", "until-keys")
            self.access.replace(static, policies.get(DEFAULT_TENANT, UNRESTRICTED), closing=closing)
            # Their rules were merged with the tenants' of before.
            self._known.forget_all()

        return swap

    async def close(self) -> None:
        if self.first_key is not None:
            await self.first_key.close()
        if self.follower is not None:
            await self.follower.close()


class _Held:
    """The tenants of `gateway.yaml` as they are now, shared by all who look at them."""

    def __init__(self, tenants: Mapping[str, ConfiguredTenant]) -> None:
        self.tenants = dict(tenants)
        self.policies = {id: tenant.policy for id, tenant in tenants.items()}

    def replace(
        self, tenants: Mapping[str, ConfiguredTenant], policies: Mapping[str, Policy]
    ) -> None:
        self.tenants.clear()
        self.tenants.update(tenants)
        self.policies.clear()
        self.policies.update(policies)


async def open_access(
    settings: AccessSettings,
    database: Database,
    *,
    reveal: Callable[[str], str],
    on_event: Callable[[Literal["info", "error"], str, str], None],
) -> OpenAccess:
    """`reveal` reads a secret by its reference; raises ValueError. Raises BadAccess."""
    held = _Held(settings.tenants)
    policies = held.policies
    static = static_keys(settings.keys, policies, reveal)
    by_keys = settings.mode in ("auto", "until-keys")
    guarded = settings.has_admin_key or bool(static) or bool(settings.issuers)
    closed = settings.mode == "closed" or (by_keys and guarded)
    known = KnownKeys(settings.known_keys)

    @cache
    def administration() -> "Administration":
        from .administer import Administration

        return Administration(database, held.tenants)

    def following(store: "KeyStore") -> Follower:
        follower = Follower(store, known, stale_seconds=settings.stale_seconds, on_event=on_event)
        follower.start()
        return follower

    follower: Follower | None = None
    look_up = None
    store: KeyStore | None = None
    if closed or settings.has_admin_key or settings.issuers or database.exists():
        store = _key_store(database, policies)
        if by_keys and not closed:
            closed = await _has_keys(store)
        if closed or settings.mode == "open":
            look_up = store.look_up
            follower = following(store)
    access = Access(
        closed=closed,
        static=static,
        known=known,
        look_up=look_up,
        read_token=_token_reader(settings.issuers, store),
        find=None if store is None else store.find,
        tenant_policy=None if store is None else store.tenant_policy,
        default_policy=policies.get(DEFAULT_TENANT, UNRESTRICTED),
    )
    opened = OpenAccess(
        access,
        settings,
        known,
        held,
        reveal=reveal,
        administration=administration,
        follower=follower,
        sign_ins=_sign_ins(settings.issuers, store, reveal),
    )
    if look_up is None:

        def found(store: "KeyStore") -> None:
            access.take_keys(store.look_up, store.find, store.tenant_policy, closing=by_keys)
            opened.follower = following(store)
            on_event("info", "keys_found", "calls need a key now" if by_keys else "")

        make_store = partial(_key_store, database, policies)
        opened.first_key = FirstKey(database, make_store, found, on_event)
        opened.first_key.start()
    return opened


def _token_reader(issuers: Mapping[str, TokenIssuer], store: "KeyStore | None") -> LookUp | None:
    if not issuers or store is None:
        return None
    from .tokens import TokenReader

    return TokenReader(issuers, store.tenant_policy).read


def _sign_ins(
    issuers: Mapping[str, TokenIssuer], store: "KeyStore | None", reveal: Callable[[str], str]
) -> "SignIns | None":
    if store is None or not any(issuer.sign_in for issuer in issuers.values()):
        return None
    from .sign_in import SignIns

    secrets: dict[str, str] = {}
    for name, issuer in issuers.items():
        if issuer.sign_in is not None and issuer.sign_in.client_secret is not None:
            try:
                secrets[name] = reveal(issuer.sign_in.client_secret)
            except ValueError as error:
                raise BadAccess(f"auth.{name}.sign_in.client_secret: {error}") from None
    return SignIns(issuers, secrets, store.tenant_policy)


def _key_store(database: Database, policies: Mapping[str, Policy]) -> "KeyStore":
    from .store import KeyStore

    return KeyStore(database, policies)


async def _has_keys(store: "KeyStore") -> bool:
    """While it cannot be said, calls need a key."""
    try:
        return await store.any()
    except DatabaseUnavailable:
        return True


def static_keys(
    configured: Mapping[str, ConfiguredKey],
    tenants: Mapping[str, Policy],
    reveal: Callable[[str], str],
) -> dict[bytes, KnownKey]:
    """The keys of `gateway.yaml`, by hash. Raises BadAccess saying which is wrong and how."""
    found: dict[bytes, KnownKey] = {}
    for id, key in configured.items():
        if (key.key is None) == (key.hash is None):
            raise BadAccess(f"keys.{id}: give key (env:NAME or file:/path) or hash, one of the two")
        if key.hash is not None:
            hash = bytes.fromhex(key.hash.partition(":")[2])
        else:
            assert key.key is not None
            try:
                hash = hash_of(reveal(key.key).encode("utf-8"))
            except ValueError as error:
                raise BadAccess(f"keys.{id}.key: {error}") from None
        if hash in found:
            raise BadAccess(f"keys.{id}: it is the same key as {found[hash].caller.key_id}")
        found[hash] = KnownKey(
            caller=Caller(
                tenant=key.tenant,
                user=key.user or id,
                key_id=id,
                policy=merge(tenants.get(key.tenant, UNRESTRICTED), key.policy),
                tags=key.tags,
            ),
            user_is_fixed=key.user is not None,
            expires_at=inf if key.expires_at is None else key.expires_at.timestamp(),
            role=key.role,
        )
    return found

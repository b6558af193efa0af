"""Tenants and virtual keys, as the admin API and the command line show and take them."""

from datetime import datetime
from typing import Annotated, Literal, get_args

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

from .policy import UNRESTRICTED, Policy

Role = Literal["admin", "viewer", "tenant-admin"]
Name = Annotated[str, Meta(min_length=1, max_length=256)]
TenantId = Annotated[str, Meta(pattern=r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
Tag = Annotated[str, Meta(pattern=r"\A[^=,\s]+=[^,\x00-\x1f\x7f]{0,100}\Z", max_length=128)]
Tags = Annotated[tuple[Tag, ...], Meta(max_length=16)]
Metadata = Annotated[dict[str, str], Meta(max_length=64)]
Seconds = Annotated[float, Meta(gt=0, le=3.2e9)]


class Key(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A virtual key. Never the key itself."""

    id: str
    tenant: str
    name: str
    hint: str
    """How it begins and ends, for its owner to recognise it by."""
    user: str | None = None
    """Whose it is; None: `X-User-ID` names the user, else the key's id stands for one."""
    role: Role | None = None
    """What it may do in the admin API; None: nothing."""
    policy: Policy = UNRESTRICTED
    """Its own rules; what is left out is its tenant's."""
    tags: tuple[str, ...] = ()
    metadata: dict[str, str] = {}
    disabled: bool = False
    created_at: datetime
    expires_at: datetime | None = None
    previous_until: datetime | None = None
    """After a rotation: how long the one before still works."""


class IssuedKey(Struct, frozen=True, kw_only=True):
    """The only time a key is shown."""

    key: str
    """`sk-gw-...`: keep it, it cannot be shown again."""
    details: Key


class NewKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    name: Name
    tenant: TenantId | None = None
    """None: `default`, or the tenant of the one who asks."""
    user: Name | None = None
    role: Role | None = None
    policy: Policy = UNRESTRICTED
    tags: Tags = ()
    metadata: Metadata = {}
    expires_at: datetime | None = None
    expires_in: Seconds | None = None
    """Seconds from now, instead of `expires_at`."""


class KeyChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays."""

    name: Name | UnsetType = UNSET
    user: Name | UnsetType | None = UNSET
    policy: Policy | UnsetType = UNSET
    tags: Tags | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET
    expires_at: datetime | UnsetType | None = UNSET


class Rotation(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    overlap_seconds: Annotated[float, Meta(ge=0, le=31_536_000)] = 86400
    """How long the old key goes on working beside the new one; 0: not at all."""


class KeyPage(Struct, frozen=True, kw_only=True):
    data: list[Key]
    next: str | None
    """`after` of the next page; None: there is none."""


class Tenant(Struct, frozen=True, kw_only=True):
    id: str
    title: str
    policy: Policy
    """The rules that its keys inherit."""
    metadata: dict[str, str]
    disabled: bool
    """None of its keys is good."""
    source: Literal["database", "gateway.yaml"] = "database"
    created_at: datetime | None = None


class NewTenant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    id: TenantId
    title: str = ""
    policy: Policy = UNRESTRICTED
    metadata: Metadata = {}


class TenantChange(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is left out stays."""

    title: str | UnsetType = UNSET
    policy: Policy | UnsetType = UNSET
    metadata: Metadata | UnsetType = UNSET
    disabled: bool | UnsetType = UNSET


class TenantPage(Struct, frozen=True, kw_only=True):
    data: list[Tenant]
    next: str | None


class AdminAction(Struct, frozen=True, kw_only=True):
    """A change, and who made it."""

    id: str
    at: datetime
    actor: str
    """`admin` for ADMIN_KEY, `cli`, the id of a key; of a `gateway.yaml` read anew `file`, or `SIGHUP`; of
    an experiment's guard `guard`."""
    action: str
    tenant: str | None
    target: str | None
    detail: Raw
    """What it was `before` and `after`, as JSON."""


class AdminActionPage(Struct, frozen=True, kw_only=True):
    data: list[AdminAction]
    """Newest first."""
    next: str | None
    """`before` of the next page; None: there is none."""


class ConfiguredTenant(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As written in `gateway.yaml` under `tenants.<id>`."""

    title: str = ""
    policy: Policy = UNRESTRICTED


class ConfiguredKey(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As written in `gateway.yaml` under `keys.<id>`: by reference or by hash, never the key itself."""

    key: str | None = None
    """`env:NAME` or `file:/path`."""
    hash: Annotated[str, Meta(pattern=r"\Asha256:[0-9a-f]{64}\Z")] | None = None
    """`sha256:` and the hexadecimal hash, as `ai-gateway keys hash` prints it."""
    tenant: TenantId = "default"
    user: Name | None = None
    role: Role | None = None
    policy: Policy = UNRESTRICTED
    tags: Tags = ()
    expires_at: datetime | None = None


class SignIn(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As written under `auth.<name>.sign_in`: people sign in to the dashboard by this issuer."""

    url: Annotated[str, Meta(pattern=r"\Ahttps?://[^/?#\s]+\Z")]
    """The gateway's own address, as browsers know it. The issuer sends them back to
    `<url>/dashboard/sign-in/<name>/callback`, which must be registered there."""
    client_id: Annotated[str, Meta(min_length=1)]
    client_secret: str | None = None
    """`env:NAME` or `file:/path`; None: a public client."""
    title: str = ""
    """What the button says, after `Sign in with`."""
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    hours: Annotated[float, Meta(gt=0, le=168)] = 8.0
    """How long a session lasts."""


class TokenIssuer(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """As written in `gateway.yaml` under `auth.<name>`: whose JWTs are taken as keys (OIDC)."""

    issuer: str
    """The `iss` of its tokens, to the letter."""
    audience: str
    """One of their `aud`."""
    jwks: str
    """Where its public keys are: an https address."""
    algorithms: tuple[
        Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384", "EdDSA"], ...
    ] = (
        "RS256",
        "ES256",
        "EdDSA",
    )
    tenant: TenantId | None = None
    """The tenant of all its users; None: the claim says."""
    tenant_claim: str = "tenant"
    user_claim: str = "sub"
    role_claim: str | None = None
    """A claim that names a role for the admin API; None: its tokens have none. A claim within a claim is
    named with a dot: `realm_access.roles`. A list gives the first role of `roles` that is in it."""
    roles: dict[str, Role] = field(default_factory=lambda: {role: role for role in get_args(Role)})
    """What the claim's values mean, the mightiest first."""
    sign_in: SignIn | None = None
    policy: Policy = UNRESTRICTED

"""`POST /v1/feedback`: what a user says of an answer."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.requests import Request
from starlette.responses import Response

from ai_gateway.access.access import Access
from ai_gateway.caching.cache import Cache
from ai_gateway.caching.no_cache import NoCache
from ai_gateway.model.errors import GatewayError
from ai_gateway.routing.experiment_report import Feedback
from ai_gateway.storage.database import Database, DatabaseUnavailable

from .admin.endpoints import away, error_response, invalid
from .body import CallerLeft, read_body
from .calls import joined

_LARGEST = 64 * 1024


class NewFeedback(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    call_id: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    """From the answer's header `x-gateway-call-id`."""
    request_id: Annotated[str, Meta(min_length=1, max_length=128)] | None = None
    """From `x-request-id`."""
    score: Annotated[float, Meta(ge=-1000, le=1000)] | None = None
    label: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    comment: Annotated[str, Meta(max_length=10_000)] | None = None
    bad_cache_hit: bool = False
    """The answer was found by meaning and is another question's: it is evicted. Needs `call_id`."""


class FeedbackEndpoint:
    """Feedback counts for calls of the caller's own tenant; of the same user the last word counts."""

    def __init__(self, access: Access, database: Database | None, cache: Cache | NoCache) -> None:
        self._access = access
        self._cache = cache
        self._database = database

    async def post(self, request: Request) -> Response:
        headers = joined(request.scope["headers"])
        try:
            caller = await self._access.caller(headers)
            if not headers.get(b"content-type", b"").lower().startswith(b"application/json"):
                raise GatewayError(
                    "unsupported_media_type",
                    "The body must be JSON: send the header 'content-type: application/json'.",
                    field="content-type",
                    code="unsupported_media_type",
                )
            given = _read(await read_body(request.receive, headers, _LARGEST))
            if given.bad_cache_hit:
                await self._evict(caller.tenant, given.call_id)
                if self._database is None:
                    return Response(status_code=204)
            if self._database is None:
                raise GatewayError(
                    "not_found", "No ledger is kept here, so feedback has no place.",
                    code="no_ledger",
                )  # fmt: skip
            await self._keep(self._database, caller.tenant, caller.user, given)
        except GatewayError as error:
            return error_response(error)
        except DatabaseUnavailable:
            return error_response(away())
        except CallerLeft:
            return Response(status_code=400)
        return Response(status_code=204)

    async def _evict(self, tenant: str, call_id: str | None) -> None:
        if call_id is None or not await self._cache.report_bad_hit(tenant, call_id):
            raise GatewayError(
                "not_found",
                "No hit by meaning is known of this call_id (they are, for an hour).",
                field="call_id",
                code="cache_hit_not_found",
            )

    async def _keep(self, database: Database, tenant: str, user: str, given: NewFeedback) -> None:
        await database.open()
        from ai_gateway.routing.results import keep_feedback

        call = given.call_id or given.request_id
        assert call is not None
        told = Feedback(
            call=_plain(call), score=given.score, label=_label(given),
            comment=given.comment and _plain(given.comment),
        )  # fmt: skip
        await keep_feedback(database, tenant, user, told)


def _read(body: bytes) -> NewFeedback:
    try:
        given = msgspec.json.decode(body, type=NewFeedback)
    except msgspec.ValidationError as error:
        raise invalid(error, "The body") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise GatewayError(
            "invalid_request", "The body is not JSON.", code="invalid_json"
        ) from None
    if (given.call_id is None) == (given.request_id is None):
        raise GatewayError(
            "invalid_request", "Give call_id or request_id, and not both.", field="call_id"
        )
    said = (given.score, given.label, given.comment) != (None, None, None)
    if not said and not given.bad_cache_hit:
        raise GatewayError("invalid_request", "Give a score, a label or a comment.", field="score")
    return given


def _label(given: NewFeedback) -> str | None:
    """A wrong hit is remembered as one, for who sets the threshold."""
    if given.label is None:
        return "bad_cache_hit" if given.bad_cache_hit else None
    return _plain(given.label)


def _plain(text: str) -> str:
    """PostgreSQL takes no NUL."""
    return text.replace("\0", "")

"""`/v1/files`, `/v1/batches` and stored responses: at the provider that holds them, or the gateway's.

A provider's account is shared by every tenant, so whose a file or batch is, is written down when it is
made; what is not the caller's is not found, and lists hold only what is.
"""

from collections.abc import AsyncIterator, Mapping
from secrets import token_hex
from typing import Any, cast
from urllib.parse import parse_qs, quote

import msgspec
from msgspec import Struct
from msgspec.json import decode, encode
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request as HttpRequest

from ai_gateway.access.access import Access
from ai_gateway.dialects.strict_json import decode_object
from ai_gateway.forward import ForwardReply, Passing, Upload
from ai_gateway.holdings.batch import BatchRequest, Job, decode_job, new_batch
from ai_gateway.holdings.files import FileShelf, new_file_id
from ai_gateway.holdings.responses import ResponseKeeper
from ai_gateway.holdings.runner import BatchRunner, held_file
from ai_gateway.holdings.store import GATEWAY, Held, HoldingStore, Kind, now
from ai_gateway.model.call import Caller, Outcome, Request
from ai_gateway.model.errors import GatewayError
from ai_gateway.pipeline import Pipeline
from ai_gateway.storage.database import DatabaseUnavailable

from .asgi import Receive, Scope
from .body import read_body
from .seen import LARGEST_SEEN, Seen, SeenReply
from .uploads import BytesUpload, FormUpload, RawUpload

HELD_PREFIXES = ("/v1/files", "/v1/batches", "/v1/responses/")
HELD_ROUTES = (
    ("post", "/v1/files", "form", "Upload a file (OpenAI Files; it passes through)"),
    ("get", "/v1/files", None, "List your files"),
    ("get", "/v1/files/{id}", None, "What is known of a file"),
    ("delete", "/v1/files/{id}", None, "Delete a file"),
    ("get", "/v1/files/{id}/content", None, "A file's content"),
    ("post", "/v1/batches", "json", "Run a file of calls (OpenAI Batches, or the gateway's own)"),
    ("get", "/v1/batches", None, "List your batches"),
    ("get", "/v1/batches/{id}", None, "A batch, and how far it is"),
    ("post", "/v1/batches/{id}/cancel", None, "Cancel a batch"),
    ("get", "/v1/responses/{id}", None, "A stored response"),
    ("delete", "/v1/responses/{id}", None, "Delete a stored response"),
    ("post", "/v1/responses/{id}/cancel", None, "Cancel a response in the background"),
    ("get", "/v1/responses/{id}/input_items", None, "What a stored response was asked"),
)
"""As documented: method, path, kind of body, summary."""
_decode_batch = msgspec.json.Decoder(BatchRequest)


class Holdings(Struct, frozen=True, kw_only=True):
    """What these endpoints work with."""

    store: HoldingStore
    shelf: FileShelf
    runner: BatchRunner
    responses: ResponseKeeper
    default_provider: str


class HeldEndpoint:
    """Every path under `/v1/files` and `/v1/batches`."""

    def __init__(
        self, holdings: Holdings, access: Access, pipeline: Pipeline, *, max_upload_bytes: int
    ) -> None:
        self._holdings = holdings
        self._access = access
        self._pipeline = pipeline
        self._limit = max_upload_bytes

    async def serve(
        self,
        scope: Scope,
        receive: Receive,
        request: Request,
        outcome: Outcome,
        reply: ForwardReply,
    ) -> None:
        """Raises GatewayError, CallerLeft."""
        caller = outcome.caller = await self._access.caller(request.headers)
        call = _HeldCall(self._holdings, self._pipeline, caller, request, outcome, reply)
        parts = tuple(p for p in scope["path"].removeprefix("/v1").split("/") if p)
        try:
            match (scope["method"], parts):
                case ("POST", ("files",)):
                    await self._make_file(call, scope, receive)
                case ("GET", ("files" | "batches" as kind,)):
                    await call.list(_KINDS[kind], scope)
                case ("GET" | "DELETE", ("files", id)):
                    await call.one("file", id, scope["method"])
                case ("GET", ("files", id, "content")):
                    await call.content(id)
                case ("POST", ("batches",)):
                    body = await read_body(receive, request.headers, LARGEST_SEEN)
                    await call.make_batch(body)
                case ("GET", ("batches", id)):
                    await call.one("batch", id, "GET")
                case ("POST", ("batches", id, "cancel")):
                    await call.cancel(id)
                case ("GET" | "DELETE" as method, ("responses", id)):
                    await call.response(id, method, "", scope)
                case ("GET", ("responses", id, "input_items")):
                    await call.response(id, "GET", "/input_items", scope)
                case ("POST", ("responses", id, "cancel")):
                    await call.response(id, "POST", "/cancel", scope)
                case _:
                    raise GatewayError("not_found", "There is nothing at this path.")
        except DatabaseUnavailable:
            raise GatewayError(
                "unavailable",
                "Whose files and batches are whose cannot be looked up now. Try again.",
                code="database_unavailable",
                retry_after=1,
            ) from None

    async def _make_file(self, call: "_HeldCall", scope: Scope, receive: Receive) -> None:
        headers = call.request.headers
        if call.provider != GATEWAY:
            await call.forward(
                "POST", "/files", FormUpload(receive, headers, self._limit), call.mark("file")
            )
            return
        bounded = RawUpload(receive, headers, self._limit).receive
        try:
            form = await HttpRequest(scope, bounded).form(max_files=1, max_fields=16)
        except (MultiPartException, HTTPException):
            raise GatewayError(
                "invalid_request", "The body is not a form that can be read.", field="file"
            ) from None
        try:
            file, purpose = form.get("file"), form.get("purpose")
            if not isinstance(file, UploadFile) or not isinstance(purpose, str):
                raise GatewayError(
                    "invalid_request", "A form with file and purpose is needed.", field="file"
                )
            await call.keep_file(file, purpose[:64])
        finally:
            await form.close()


_KINDS: dict[str, Kind] = {"files": "file", "batches": "batch"}
_LONGEST_LISTS: dict[Kind, int] = {"file": 10_000, "batch": 100}
_PATHS: dict[Kind, str] = {"file": "/files", "batch": "/batches"}


class _HeldCall:
    def __init__(
        self,
        holdings: Holdings,
        pipeline: Pipeline,
        caller: Caller,
        request: Request,
        outcome: Outcome,
        reply: ForwardReply,
    ) -> None:
        self._holdings = holdings
        self._pipeline = pipeline
        self._caller = caller
        self.request = request
        self._outcome = outcome
        self._reply = reply
        named = request.headers.get(b"x-gateway-provider")
        self.provider = holdings.default_provider if named is None else named.decode("latin-1")[:64]

    async def list(self, kind: Kind, scope: Scope) -> None:
        store, tenant = self._holdings.store, self._caller.tenant
        query = scope["query_string"].decode("latin-1")
        if self.provider == GATEWAY:
            most, after = _page(query, _LONGEST_LISTS[kind])
            place = None if after is None else await store.find(kind, after, tenant)
            mine = await store.of(kind, tenant, GATEWAY, after=place, most=most + 1)
            data = [decode(h.data) if kind == "file" else _shape(h) for h in mine[:most]]
            ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
            more = len(mine) > most
            await self._answer({"object": "list", "data": data, "has_more": more, **ends})
            return
        ids = await store.ids(kind, tenant, self.provider)

        async def only_mine(answer: dict[str, Any]) -> dict[str, Any]:
            listed = answer.get("data")
            if not isinstance(listed, list):
                raise GatewayError("upstream", "The provider sent what is no list.")
            entries = cast(list[Any], listed)
            objects = [cast(dict[str, Any], entry) for entry in entries if isinstance(entry, dict)]
            kept = [entry for entry in objects if entry.get("id") in ids]
            return {**answer, "data": kept}

        path = _PATHS[kind]
        await self.forward("GET", f"{path}?{query}" if query else path, None, only_mine)

    async def one(self, kind: Kind, id: str, method: str) -> None:
        held = await self._holdings.store.find(kind, id, self._caller.tenant)
        if held.provider != GATEWAY:
            self.provider = held.provider
            await self.forward(
                method, f"{_PATHS[kind]}/{held.id}", None, self._seen(kind, held.id, method)
            )
        elif method == "DELETE":
            await self._holdings.shelf.remove(id)
            await self._holdings.store.forget(id)
            await self._answer({"id": id, "object": "file", "deleted": True})
        else:
            await self._answer(decode(held.data) if kind == "file" else _shape(held))

    async def content(self, id: str) -> None:
        held = await self._holdings.store.find("file", id, self._caller.tenant)
        if held.provider != GATEWAY:
            self.provider = held.provider
            await self.forward("GET", f"/files/{held.id}/content", None, None)
            return
        pieces = self._holdings.shelf.read(id)
        first = await anext(pieces, b"")
        self._outcome.status = 200
        await self._reply.start(self._outcome, [(b"content-type", b"application/octet-stream")])
        await self._reply.piece(first)
        async for piece in pieces:
            await self._reply.piece(piece)
        await self._reply.end()

    async def keep_file(self, file: UploadFile, purpose: str) -> None:
        id = new_file_id()

        async def pieces() -> AsyncIterator[bytes]:
            while piece := await file.read(256 * 1024):
                yield piece

        size = await self._holdings.shelf.write(id, pieces())
        name = (file.filename or "file")[:200]
        held = held_file(id, self._caller.tenant, name, purpose, size)
        try:
            await self._holdings.store.keep(held)
        except BaseException:
            # Nobody would ever find it.
            await self._holdings.shelf.remove(id)
            raise
        await self._answer(decode(held.data))

    async def make_batch(self, body: bytes) -> None:
        asked = decode_object(body, _decode_batch)
        file = await self._holdings.store.find("file", asked.input_file_id, self._caller.tenant)
        self.provider = file.provider
        if file.provider != GATEWAY:
            await self.forward("POST", "/batches", BytesUpload(body), self.mark("batch"))
            return
        job = Job(batch=new_batch(f"batch_gw_{token_hex(16)}", asked, now()), caller=self._caller)
        held = Held(
            id=job.batch.id, kind="batch", tenant=self._caller.tenant, provider=GATEWAY,
            created_at=job.batch.created_at, data=encode(job).decode(),
        )  # fmt: skip
        await self._holdings.store.keep(held)
        self._holdings.runner.take(job)
        await self._answer(_shape(held))

    async def cancel(self, id: str) -> None:
        held = await self._holdings.store.find("batch", id, self._caller.tenant)
        if held.provider != GATEWAY:
            self.provider = held.provider
            await self.forward(
                "POST", f"/batches/{held.id}/cancel", None, self._seen("batch", held.id, "POST")
            )
            return
        while True:
            job = decode_job.decode(held.data)
            if job.batch.status not in ("validating", "in_progress"):
                break
            job.batch.status, job.batch.cancelling_at = "cancelling", now()
            if await self._holdings.store.change(id, encode(job).decode(), held.data):
                break
            # Whoever runs it has just written down how far it is.
            held = await self._holdings.store.find("batch", id, self._caller.tenant)
        await self._answer(msgspec.to_builtins(job.batch))

    async def response(self, id: str, method: str, what: str, scope: Scope) -> None:
        keeper = self._holdings.responses
        held = await keeper.find(id, self._caller.tenant)
        if held.items is None:
            self.provider = held.provider
            query = scope["query_string"].decode("latin-1")
            path = f"/responses/{quote(id, safe='')}{what}" + (f"?{query}" if query else "")
            seen = self._forget_response(id) if method == "DELETE" else None
            await self.forward(method, path, None, seen, held.credential)
            return
        if method == "DELETE":
            await keeper.forget(id)
            await self._answer({"id": id, "object": "response", "deleted": True})
        elif what == "/input_items":
            given = [decode(item) for item in held.items[: held.given]]
            data = [{"id": f"item_{at}", **_listed(item)} for at, item in enumerate(given)]
            ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {}
            await self._answer({"object": "list", "data": data, "has_more": False, **ends})
        elif what == "/cancel":
            raise GatewayError(
                "invalid_request", "Only a response in the background can be cancelled."
            )
        else:
            await self._answer(held.response)

    def _forget_response(self, id: str) -> Seen:
        async def seen(answer: dict[str, Any]) -> dict[str, Any]:
            await self._holdings.responses.forget(id)
            return answer

        return seen

    def mark(self, kind: Kind) -> Seen:
        """Writes down whose a new object is, before its maker learns its name."""

        async def marked(answer: dict[str, Any]) -> dict[str, Any]:
            await self._keep(kind, answer.get("id"))
            return answer

        return marked

    def _seen(self, kind: Kind, id: str, method: str) -> Seen:
        async def seen(answer: dict[str, Any]) -> dict[str, Any]:
            if method == "DELETE":
                await self._holdings.store.forget(id)
            for name in ("output_file_id", "error_file_id") if kind == "batch" else ():
                await self._keep("file", answer.get(name))
            return answer

        return seen

    async def _keep(self, kind: Kind, id: object) -> None:
        if isinstance(id, str) and id:
            await self._holdings.store.keep(
                Held(
                    id=id[:200],
                    kind=kind,
                    tenant=self._caller.tenant,
                    provider=self.provider,
                    created_at=now(),
                )
            )

    async def forward(
        self,
        method: str,
        path: str,
        upload: Upload | None,
        seen: Seen | None,
        credential: int | None = None,
    ) -> None:
        passing = Passing(
            method=method,
            path=path,
            headers=_handed_on(self.request.headers),
            upload=upload or BytesUpload(b""),
            provider=self.provider,
            credential=credential,
        )
        reply = self._reply if seen is None else SeenReply(self._reply, seen)
        await self._pipeline.forward(self.request, passing, self._outcome, reply)

    async def _answer(self, body: object) -> None:
        data = encode(body)
        self._outcome.status = 200
        head = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(data))]
        await self._reply.start(self._outcome, head)
        await self._reply.piece(data)
        await self._reply.end()


def _listed(item: dict[str, Any]) -> dict[str, Any]:
    """An input item as the API lists it: a message's text is always a part, where it may be given bare."""
    content = item.get("content")
    if not isinstance(content, str):
        return item
    kind = "output_text" if item.get("role") == "assistant" else "input_text"
    return {"type": "message", **item, "content": [{"type": kind, "text": content}]}


def _page(query: str, longest: int) -> tuple[int, str | None]:
    """`limit` and `after`. Raises GatewayError(invalid_request)."""
    given = parse_qs(query)
    limit = given.get("limit", [str(longest)])[0]
    if not limit.isascii() or not limit.isdigit() or len(limit) > 6 or int(limit) < 1:
        raise GatewayError(
            "invalid_request", f"limit: must be a whole number from 1 to {longest}.", field="limit"
        )
    return min(int(limit), longest), given.get("after", [None])[0]


def _shape(held: Held) -> dict[str, Any]:
    return msgspec.to_builtins(decode_job.decode(held.data).batch)


def _handed_on(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    given = headers.get(b"content-type")
    return {} if given is None else {"content-type": given.decode("latin-1")}

"""The step `guard` of a call: chosen by name, asked about the request, put around the reply."""

import asyncio
from collections.abc import Mapping, Sequence

from msgspec.json import decode, encode
from msgspec.structs import replace

from ai_gateway.model.call import Outcome, Request
from ai_gateway.model.guardrail import Size
from ai_gateway.reply import Reply

from .apply import Armed, Blocked, Count, Inspector, replaced
from .guard import Passage
from .output import GuardedReply
from .passages import slots_of
from .personal_data import Vault


class Guardrails:
    """Those of `gateway.yaml`, ready to be asked."""

    def __init__(
        self,
        armed: Mapping[str, Armed],
        sizes: Mapping[str, Size],
        defaults: Sequence[str],
        count: Count,
    ) -> None:
        self._armed = armed
        self._sizes = sizes
        self._defaults = tuple(defaults)
        self._count = count
        self._chosen: dict[tuple[str, ...], tuple[str, ...]] = {}

    @property
    def names(self) -> frozenset[str]:
        return frozenset(self._armed) | frozenset(self._sizes)

    def chosen(self, *named: Sequence[str]) -> tuple[str, ...]:
        """The guardrails of a call: the defaults and those that its key and route name, each once."""
        wanted = self._defaults
        for names in named:
            if names:
                wanted += tuple(names)
        return tuple(dict.fromkeys(wanted)) if wanted is not self._defaults else wanted

    async def guard(
        self, names: Sequence[str], request: Request, reply: Reply, outcome: Outcome
    ) -> tuple[Request, Reply]:
        """The request as it may go on, and the reply by which its answer goes back.

        Raises Blocked, GuardFailed. Nothing in the body is changed but the texts concerned.
        """
        noted = outcome.guardrails
        armed = [self._armed[name] for name in names if name in self._armed]
        vault = Vault()
        tree = decode(request.body)
        slots = slots_of(tree, "user")
        self._check_size(names, tree, sum(len(slot.text) for slot in slots), noted)
        inspector = Inspector(armed, "input", vault, noted, self._count)
        if inspector.armed:
            found = await asyncio.gather(
                *(inspector.findings(Passage(slot.text, slot.role)) for slot in slots)
            )
            for slot, findings in zip(slots, found, strict=True):
                if findings:
                    slot.put(replaced(slot.text, findings, is_json=slot.is_json))
            if any(found):
                request = replace(request, body=encode(tree))
        after = Inspector(armed, "output", vault, noted, self._count)
        if after.armed or vault:
            reply = GuardedReply(reply, request.dialect, after, vault, outcome)
        return request, reply

    def _check_size(
        self, names: Sequence[str], tree: object, characters: int, noted: list[str]
    ) -> None:
        for name in names:
            size = self._sizes.get(name)
            if size is None:
                continue
            label = None
            if size.max_characters is not None and characters > size.max_characters:
                label = f"{characters} characters, at most {size.max_characters}"
            elif size.max_messages is not None and _turns(tree) > size.max_messages:
                label = f"{_turns(tree)} messages, at most {size.max_messages}"
            if label is not None:
                self._count(name, "input", "block")
                noted.append(f"{name}=block:size")
                raise Blocked(name, "input", label)


def _turns(tree: object) -> int:
    if not isinstance(tree, dict):
        return 0
    for name in ("messages", "contents", "input"):
        turns = tree.get(name)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
        if isinstance(turns, list):
            return len(turns)  # pyright: ignore[reportUnknownArgumentType]
    return 1

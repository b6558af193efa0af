"""A chain of hashes over records: each one's covers its content and the hash before it, so that none can
be changed, taken out or put in without every later one showing it.

With a key the hashes are HMACs, which only its holder can make; without one they show tampering only to
who has kept a later hash elsewhere (the log tells the chain's head from time to time).
"""

import hmac
from collections.abc import Iterable
from hashlib import sha256
from secrets import token_hex

from msgspec import Struct

from ai_gateway.model.audit import ChainReport

BEGINNING = "0" * 64


class Link(Struct, frozen=True):
    """A record's place."""

    chain: str
    seq: int
    hash: str


class Chain:
    """A writer's own chain. What is linked and then could not be kept is taken back with `rewind`."""

    def __init__(self, key: bytes | None, name: str | None = None) -> None:
        self.name = name or token_hex(8)
        self.seq = 0
        self.head = BEGINNING
        self._key = key

    def link(self, content: bytes) -> Link:
        self.seq += 1
        self.head = link_hash(self._key, self.head, self.name, self.seq, content)
        return Link(self.name, self.seq, self.head)

    @property
    def position(self) -> tuple[int, str]:
        return self.seq, self.head

    def rewind(self, position: tuple[int, str]) -> None:
        self.seq, self.head = position


def link_hash(key: bytes | None, before: str, chain: str, seq: int, content: bytes) -> str:
    data = b"%b\n%b\n%d\n%b" % (before.encode(), chain.encode(), seq, content)
    return sha256(data).hexdigest() if key is None else hmac.digest(key, data, "sha256").hex()


class Verifier:
    """Follows one chain's records in their order and says what does not fit."""

    _MOST_FAULTS = 20

    def __init__(
        self, key: bytes | None, chain: str, *, seq: int = 0, head: str = BEGINNING
    ) -> None:
        """From after record `seq`, whose hash is `head`."""
        self._key = key
        self._chain = chain
        self._seq = seq
        self._head = head
        self._records = 0
        self._faults: list[str] = []

    @property
    def seq(self) -> int:
        """Of the last record that was followed."""
        return self._seq

    def follow(self, records: Iterable[tuple[str, int, str, bytes]]) -> None:
        """Each one's id, number, hash and canonical content."""
        for id, seq, hash, content in records:
            self._records += 1
            if seq != self._seq + 1:
                missing = seq - self._seq - 1
                self._fault(
                    f"{missing} records are missing before {id} (number {seq})"
                    if missing > 0
                    else f"the record {id} (number {seq}) stands out of order"
                )
            expected = link_hash(self._key, self._head, self._chain, seq, content)
            if expected != hash and seq == self._seq + 1:
                self._fault(f"the record {id} (number {seq}) was changed")
            # Go on from what stands there, so that one change is told once.
            self._seq, self._head = seq, hash

    def finish(self, last: int | None, head: str | None) -> ChainReport:
        """`last` and `head`: what the chain's own entry says its end is; None where it has none."""
        if last is not None and (self._seq, self._head) != (last, head):
            missing = last - self._seq
            self._fault(
                f"its last {missing} records are missing" if missing > 0 else "its end does not fit"
            )
        return ChainReport(
            chain=self._chain,
            records=self._records,
            last=self._seq,
            head=self._head,
            faults=self._faults,
        )

    def _fault(self, text: str) -> None:
        if len(self._faults) < self._MOST_FAULTS:
            self._faults.append(text)

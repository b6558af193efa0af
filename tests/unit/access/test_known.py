"""Keys kept in memory: bounded, wrong ones apart, forgotten when told."""

from ai_gateway.access.keys import hash_of, hint_of, is_well_formed, new_key
from ai_gateway.access.known import KnownKey, KnownKeys
from ai_gateway.model.call import Caller


def key(tenant: str = "t") -> KnownKey:
    return KnownKey(caller=Caller(tenant=tenant, user="u"), user_is_fixed=False, expires_at=9e9)


def knows(known: KnownKeys, hash: bytes) -> bool:
    try:
        known.get(hash)
    except KeyError:
        return False
    return True


def test_at_most_its_capacity_is_kept_and_what_is_used_stays() -> None:
    known = KnownKeys(100)
    known.keep(b"used", key(), 0)
    for number in range(10_000):
        known.keep(b"%d" % number, key(), 0)
        assert knows(known, b"used")
    assert len(known) <= 100
    assert knows(known, b"9999")
    assert not knows(known, b"1")


def test_a_million_guesses_push_no_good_key_out() -> None:
    known = KnownKeys(100)
    known.keep(b"good", key(), 0)
    for number in range(10_000):
        known.keep(b"%d" % number, None, 0)
    assert knows(known, b"good")
    assert known.get(b"9999") is None
    assert len(known) <= 126


def test_an_answer_asked_for_before_a_change_is_not_kept_after_it() -> None:
    known = KnownKeys(100)
    asked_at = known.epoch
    known.forget(b"revoked")
    known.keep(b"revoked", key(), asked_at)
    assert not knows(known, b"revoked")


def test_a_tenants_keys_are_forgotten_together() -> None:
    known = KnownKeys(100)
    known.keep(b"one", key("acme"), 0)
    known.keep(b"two", key("other"), 0)
    known.forget_tenant("acme")
    assert not knows(known, b"one")
    assert knows(known, b"two")


def test_keys_are_random_well_formed_and_shown_by_their_end_alone() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    assert all(map(is_well_formed, keys))
    one = keys.pop()
    assert len(one) == 55
    assert len(hash_of(one.encode())) == 32
    assert hint_of(one) == f"sk-gw-...{one[-4:]}"
    swapped = one[:10] + ("A" if one[10] != "A" else "B") + one[11:]
    for wrong in (swapped, one + "x", one[:-1], "", "sk-gw-", "sk-" + one, one[:-1] + "é"):
        assert not is_well_formed(wrong)

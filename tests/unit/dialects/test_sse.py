from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ai_gateway.dialects.sse import BlockSplitter, SseDecoder

TEXT = st.text(alphabet=st.characters(exclude_characters="\r\n", codec="utf-8"), max_size=20)
BREAK = st.sampled_from(["\n", "\r\n"])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """Streams as providers write them: comments, names, several data lines, either line break."""
    out = draw(st.sampled_from(["", "\ufeff"]))
    for _ in range(draw(st.integers(0, 5))):
        end = draw(BREAK)
        if draw(st.booleans()):
            out += f": {draw(TEXT)}{end}"
        if draw(st.booleans()):
            out += f"event:{draw(st.sampled_from(['', ' ']))}{draw(TEXT)}{end}"
        for _ in range(draw(st.integers(0, 3))):
            out += f"data:{draw(st.sampled_from(['', ' ']))}{draw(TEXT)}{end}"
        out += draw(st.sampled_from([f"id: 7{end}", "", f"retry: 10{end}", f"data{end}"])) + end
    return out.encode()


def cut(data: bytes, at: list[int]) -> list[bytes]:
    borders = [0, *sorted({i % (len(data) + 1) for i in at}), len(data)]
    return [data[a:b] for a, b in pairwise(borders)]


CUTS = st.lists(st.integers(0, 10_000), max_size=12)


@given(streams(), CUTS)
def test_any_cut_gives_the_same_events(data: bytes, at: list[int]) -> None:
    whole, pieces = SseDecoder(), SseDecoder()
    expected = [*whole.feed(data), *whole.end()]
    found = [event for piece in cut(data, at) for event in pieces.feed(piece)] + pieces.end()
    assert found == expected


@given(st.binary(max_size=200).map(lambda b: b.replace(b"\r", b"\n")), CUTS)
def test_the_splitter_loses_no_byte_and_ends_blocks_at_blank_lines(
    data: bytes, at: list[int]
) -> None:
    splitter = BlockSplitter()
    blocks = [block for piece in cut(data, at) if (block := splitter.feed(piece))]
    assert b"".join(blocks) + splitter.rest() == data
    assert all(block.endswith(b"\n\n") for block in blocks)


def test_lines_are_joined_comments_passed_over_and_names_read() -> None:
    decoder = SseDecoder()
    events = decoder.feed(b": hello\nevent: x\ndata: a\ndata:b\n\n: only\n\ndata: c\r\n\r\n")
    assert [(e.event, e.data) for e in events] == [("x", b"a\nb"), ("message", b"c")]


def test_a_last_line_without_its_blank_line_counts() -> None:
    decoder = SseDecoder()
    assert decoder.feed(b"data: [DONE]\n") == []
    assert [e.data for e in decoder.end()] == [b"[DONE]"]


def test_half_a_line_at_the_end_does_not() -> None:
    decoder = SseDecoder()
    decoder.feed(b'data: {"half')
    assert decoder.end() == []

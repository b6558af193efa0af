import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway.dialects.multipart import PartNames, boundary_of, form_field
from ai_gateway.model.errors import GatewayError

FORM = (
    b'--b1\r\nContent-Disposition: form-data; name="file"; filename="model"\r\n'
    b"Content-Type: audio/wav\r\n\r\nRIFF\r\n--b\r\nx\r\n"
    b'--b1\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--b1--\r\n'
)


def test_a_field_is_found_with_its_place() -> None:
    found = form_field(FORM, b"b1", b"model")
    assert found is not None
    assert (found.value, FORM[found.start : found.end]) == ("whisper-1", b"whisper-1")


def test_a_file_of_that_name_is_no_field() -> None:
    only_file = FORM.split(b"--b1\r\ncontent-disposition")[0] + b"--b1--\r\n"
    assert form_field(only_file.replace(b'name="file"', b'name="model"'), b"b1", b"model") is None


@given(st.integers(0, len(FORM) - 1))
def test_a_field_that_is_not_whole_yet_is_not_found(cut: int) -> None:
    found = form_field(FORM[:cut], b"b1", b"model")
    assert found is None or found.value == "whisper-1"


@given(st.binary(max_size=300))
def test_any_bytes_can_be_looked_at(body: bytes) -> None:
    form_field(body, b"b1", b"model")


@pytest.mark.parametrize(
    ("header", "boundary"),
    [
        (b"multipart/form-data; boundary=abc", b"abc"),
        (b'Multipart/Form-Data; charset=utf-8; boundary="a b"', b"a b"),
    ],
)
def test_the_boundary_is_read_from_the_content_type(header: bytes, boundary: bytes) -> None:
    assert boundary_of(header) == boundary


@pytest.mark.parametrize("header", [b"", b"application/json", b"multipart/form-data"])
def test_what_is_no_form_is_refused(header: bytes) -> None:
    with pytest.raises(GatewayError):
        boundary_of(header)


WRITTEN = [
    (b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav', "file"),
    (b'content-disposition: form-data; name="file"; filename="a \\"b\\".wav"', "file"),
    (b"Content-Disposition: form-data; name=\"image[]\"; filename=\"x\"; filename*=UTF-8''%e2%82%ac", "image[]"),
    (b'Content-Type: text/plain; charset="utf-8"\r\nContent-Disposition: form-data; name="purpose"', "purpose"),
    (b"Content-Disposition: form-data; name=purpose", "purpose"),
]  # fmt: skip


@pytest.mark.parametrize("cut", [1, 2, 5, 10_000])
def test_the_names_of_all_parts_are_seen_however_the_form_is_cut(cut: int) -> None:
    parts = [b"--bound\r\n" + head + b"\r\n\r\nvalue\r\n-\r\n--boun\r\n" for head, _ in WRITTEN]
    form = b"".join(parts) + b"--bound--\r\n"
    names = PartNames(b"bound")
    seen = [name for at in range(0, len(form), cut) for name in names.feed(form[at : at + cut])]
    assert seen == [name for _, name in WRITTEN]


@pytest.mark.parametrize(
    "form",
    [
        b'--b\ncontent-disposition: form-data; name="model"\n\nx',
        b'--b \t\ncontent-disposition: form-data; name="model"\n\nx',
        b'--b--\r\n--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nx',
    ],
)
def test_what_only_some_servers_take_for_a_part_is_one(form: bytes) -> None:
    assert PartNames(b"b").feed(form) == ["model"]


def test_a_head_without_an_end_is_refused_before_it_fills_memory() -> None:
    names = PartNames(b"b")
    names.feed(b"--b\r\n" + b"x" * 10_000)
    with pytest.raises(GatewayError):
        names.feed(b"x" * 10_000)

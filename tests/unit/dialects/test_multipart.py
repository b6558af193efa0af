import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai_gateway.dialects.multipart import boundary_of, form_field
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

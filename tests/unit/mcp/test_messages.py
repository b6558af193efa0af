"""What a message to an MCP server is taken to ask."""

import pytest

from ai_gateway.mcp.messages import read_request, with_only
from ai_gateway.model.errors import GatewayError


@pytest.mark.parametrize(
    "body",
    [
        b'{"method":"tools/call","id":1,"params":{"name":"open","Name":"shut"}}',
        b'{"method":"ping","Method":"tools/call","id":1,"params":{"name":"shut"}}',
        b'{"method":"tools/call","id":1,"params":{"name":"open"},"PARAMS":{"name":"shut"}}',
        b'[{"method":"tools/call","id":1,"params":{"name":"open","NAME":"shut"}}]',
    ],
)
def test_a_member_that_some_servers_would_read_as_the_tools_name_is_refused(body: bytes) -> None:
    with pytest.raises(GatewayError) as refused:
        read_request(body)
    assert refused.value.kind == "invalid_request"


def test_a_tools_own_arguments_may_be_spelt_as_they_like() -> None:
    body = b'{"method":"tools/call","id":1,"params":{"name":"open","arguments":{"Name":"x"}}}'
    assert read_request(body).tools == ("open",)


def test_an_answer_nested_too_deeply_to_be_read_passes_as_it_is() -> None:
    body = b"[" * 100_000 + b"]" * 100_000
    assert with_only(body, lambda _: False) == body

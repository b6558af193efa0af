import pytest

from ai_gateway.simulator.answer import Asked, pieces, say
from ai_gateway.simulator.options import BadOption, SimulatorOptions, changed, with_headers
from ai_gateway.simulator.schema_example import example

SCHEMAS = [
    ({"type": "string"}, "example"),
    ({"type": "string", "minLength": 9}, "examplexx"),
    ({"enum": ["a", "b"]}, "a"),
    ({"const": 5}, 5),
    ({"type": "integer", "minimum": 7}, 7),
    ({"type": "number", "maximum": 0.5, "minimum": 0.25}, 0.5),
    ({"type": "boolean"}, True),
    ({"type": ["null", "string"]}, "example"),
    ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 1),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [1, 1]),
    ({"$ref": "#/$defs/A", "$defs": {"A": {"type": "boolean"}}}, True),
    (
        {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "null"}}},
        {"a": 1, "b": None},
    ),
    ({}, "example"),
]


@pytest.mark.parametrize(("schema", "expected"), SCHEMAS)
def test_examples_fit_their_schema(schema: dict[str, object], expected: object) -> None:
    assert example(schema) == expected


def test_a_schema_that_holds_itself_ends() -> None:
    schema = {"$ref": "#/$defs/A", "$defs": {"A": {"properties": {"a": {"$ref": "#/$defs/A"}}}}}
    assert isinstance(example(schema), dict)


def test_options_come_from_text_and_headers() -> None:
    options = changed(SimulatorOptions(), {"first_token_ms": "5", "omit_done": "true"})
    assert (options.first_token_ms, options.omit_done) == (5, True)
    again = with_headers(options, [(b"x-simulator-error-rate", b"0.5"), (b"other", b"x")])
    assert (again.error_rate, again.first_token_ms) == (0.5, 5)
    assert with_headers(options, [(b"other", b"x")]) is options


@pytest.mark.parametrize(
    "given",
    [{"error_rate": "2"}, {"error_kind": "418"}, {"no_such": "1"}, {"first_token_ms": "-1"}],
)
def test_options_that_are_none_are_refused(given: dict[str, str]) -> None:
    with pytest.raises(BadOption):
        changed(SimulatorOptions(), given)


def test_stop_strings_and_limits_cut() -> None:
    assert say(Asked(model="m", last_text="x", stop=["simulator"]), 1).stop == "sequence:simulator"
    limited = say(Asked(model="m", last_text="x", max_tokens=2), 1)
    assert (limited.stop, len(limited.text)) == ("length", 8)


def test_tools_are_called_when_named_forced_or_not_at_all() -> None:
    tools = [("get_weather", {}), ("get_clock", {})]

    def called(text: str, **more: object) -> list[str]:
        asked = Asked(model="m", last_text=text, tools=tools, **more)  # type: ignore[arg-type]
        return [name for _, name, _ in say(asked, 1).calls]

    assert called("hello") == []
    assert called("the weather?") == ["get_weather"]
    assert called("weather and clock") == ["get_weather", "get_clock"]
    assert called("weather and clock", parallel=False) == ["get_weather"]
    assert called("hello", tool_choice="required") == ["get_weather"]
    assert called("weather", tool_choice="none") == []
    assert called("x", tool_choice="tool:get_clock") == ["get_clock"]


def test_pieces_add_up() -> None:
    for text in ("", " ", "a b", "one  two\nthree", "averyveryverylongword", "ünïcödé ✓"):
        assert "".join(pieces(text)) == text

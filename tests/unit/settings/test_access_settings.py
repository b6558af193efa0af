"""What is wrong with keys and token issuers in `gateway.yaml`."""

from pathlib import Path

import pytest

from ai_gateway.settings.load import load_settings
from ai_gateway.settings.tree import SettingsError


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("keys:\n  one:\n    tenant: acme\n", "gateway.yaml:2: keys.one: must have either key or hash"),
        ("keys:\n  one:\n    key: env:NONE_SUCH\n", "gateway.yaml:2: keys.one.key: the environment variable NONE_SUCH"),
        ("keys:\n  one:\n    key: sk-plain-text\n", "gateway.yaml:2: keys.one.key: a secret is given by reference"),
        ("keys:\n  one:\n    hash: sha256:xyz\n", "gateway.yaml:3: keys.one.hash"),
        ("keys:\n  one:\n    hash: sha256:" + "0" * 64 + "\n    role: root\n", "gateway.yaml:4: keys.one.role"),
        ("providers:\n  openai:\n    keys:\n      - {key: env:HOME, weight: 0}\n", "providers.openai.keys[0]: must be a reference, or a key with a weight"),
        ("providers:\n  openai:\n    keys:\n      - {weight: 2}\n", "gateway.yaml:4: providers.openai.keys[0]"),
        ("tenants:\n  acme:\n    policy:\n      modles: [x]\n", "Did you mean models?"),
        ("auth:\n  idp:\n    issuer: a\n    audience: b\n    jwks: http://id.example/jwks\n", "auth.idp.jwks: must be an https address"),
        ("auth:\n  idp:\n    issuer: a\n    audience: b\n    jwks: https://x\n    algorithms: [HS256]\n", "auth.idp.algorithms"),
    ],
)  # fmt: skip
def test_a_problem_is_named_with_its_line(text: str, problem: str, tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings({}, path)
    (found,) = caught.value.problems
    assert problem in str(found)
    assert "sk-plain-text" not in str(found)

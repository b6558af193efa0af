"""What `ai-gateway check` says: whether the settings are good, and what they amount to."""

from collections.abc import Mapping
from pathlib import Path

from .load import load_settings
from .tree import Settings, SettingsError


def check(environ: Mapping[str, str], config: Path | None) -> tuple[int, list[str]]:
    """Exit status (0 good, 1 not) and the lines to print. Never a key."""
    try:
        settings = load_settings(environ, config)
    except SettingsError as error:
        return 1, [*(str(problem) for problem in error.problems), _count(error)]
    lines = [f"settings: {config if config is not None else 'environment only'}: good"]
    lines += [f"warning: {warning}" for warning in settings.warnings]
    lines += provider_lines(settings)
    return 0, lines


def provider_lines(settings: Settings) -> list[str]:
    if not settings.providers:
        return ["providers: none configured; the built-in simulator is served"]
    return [
        f"provider {name}: {configured.base_url} (key: {configured.key_origin})"
        for name, configured in settings.providers.items()
    ]


def _count(error: SettingsError) -> str:
    count = len(error.problems)
    return f"{count} problem{'s' if count > 1 else ''} found"

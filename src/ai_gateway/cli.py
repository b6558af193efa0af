"""The command `ai-gateway`."""

import argparse
import asyncio
import gc
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ai_gateway import __version__
from ai_gateway.access.listening import listening_is_safe
from ai_gateway.commands.audit import add_audit
from ai_gateway.commands.audit import run as run_audit
from ai_gateway.commands.import_from import add_import
from ai_gateway.commands.import_from import run as run_import
from ai_gateway.commands.keys import add_keys, add_tenants, print_hash
from ai_gateway.commands.keys import run as run_keys
from ai_gateway.commands.migrate import run as run_migrate
from ai_gateway.commands.tune import add_cache
from ai_gateway.commands.tune import run as run_tune
from ai_gateway.settings.check import check, provider_lines
from ai_gateway.settings.load import config_path, load_settings
from ai_gateway.settings.tree import Settings, SettingsError

if TYPE_CHECKING:
    from ai_gateway.workers import Worker

_SWITCH_SECONDS = 0.0005


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="ai-gateway", description="One HTTP service between applications and LLM providers."
    )
    parser.add_argument("--version", action="version", version=f"ai-gateway {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command")
    serve = commands.add_parser("serve", help="serve the gateway (the default)")
    serve.add_argument("--config", type=Path, help="the gateway.yaml to read")
    look = commands.add_parser("check", help="check the settings and say what they amount to")
    look.add_argument("--config", type=Path, help="the gateway.yaml to read")
    simulate = commands.add_parser("simulate", help="serve a simulated provider")
    simulate.add_argument("--host", default="127.0.0.1")
    simulate.add_argument("--port", type=int, default=8090)
    simulate.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="how it behaves, such as first_token_ms=200 (may be repeated)",
    )
    config = argparse.ArgumentParser(add_help=False)
    config.add_argument("--config", type=Path, help="the gateway.yaml to read")
    add_keys(commands, config)
    add_tenants(commands, config)
    commands.add_parser("migrate", parents=[config], help="bring the database to its newest form")
    add_cache(commands)
    add_audit(commands, config)
    add_import(commands)
    given = parser.parse_args(arguments)
    match given.command:
        case "check":
            return _check(given.config)
        case "simulate":
            return _simulate(given.host, given.port, given.option)
        case "keys" if given.run is None:
            return print_hash()
        case "keys" | "tenants":
            return _with_settings(given.config, lambda settings: run_keys(settings, given))
        case "cache":
            return run_tune(given)
        case "audit":
            return _with_settings(given.config, lambda settings: run_audit(settings, given))
        case "import":
            return run_import(given)
        case "migrate":
            return _with_settings(given.config, run_migrate)
        case _:
            config = _config(getattr(given, "config", None))
            return _with_settings(config, lambda settings: _serve(settings, config))


def _config(named: Path | None) -> Path | None:
    return named if named is not None else config_path(os.environ)


def _check(config: Path | None) -> int:
    path = _config(config)
    status, lines = check(os.environ, path)
    if status == 0:
        from ai_gateway.provision import check_routes

        try:
            check_routes(load_settings(os.environ, path))
        except SettingsError as error:
            status, lines = 1, [str(problem) for problem in error.problems]
    print("\n".join(lines))
    return status


def _with_settings(named: Path | None, run: Callable[[Settings], int]) -> int:
    try:
        settings = load_settings(os.environ, _config(named))
    except SettingsError as error:
        for problem in error.problems:
            print(f"ai-gateway: {problem}", file=sys.stderr)
        return 2
    return run(settings)


def _simulate(host: str, port: int, given: Sequence[str]) -> int:
    from ai_gateway.simulator.options import BadOption, SimulatorOptions, changed
    from ai_gateway.simulator.server import serve

    pairs = {name: value for name, _, value in (option.partition("=") for option in given)}
    try:
        options = changed(SimulatorOptions(), pairs)
    except BadOption as error:
        print(f"ai-gateway: {error}", file=sys.stderr)
        return 2
    print(f"simulated provider (no real model) on http://{host}:{port}/v1", flush=True)
    serve(options, host, port)
    return 0


def _serve(settings: Settings, config: Path | None) -> int:
    guarded = (
        settings.admin_key is not None
        or settings.keys
        or settings.auth
        or settings.access != "auto"
    )
    if not guarded and not listening_is_safe(settings.host):
        print(
            f"ai-gateway: HOST is {settings.host}, which others can reach, and no keys guard it. "
            "Set ADMIN_KEY, or listen on 127.0.0.1, or say ACCESS=closed or ACCESS=open.",
            file=sys.stderr,
        )
        return 2
    import uvloop

    from ai_gateway.provision import check_routes
    from ai_gateway.server import listen, raise_open_files
    from ai_gateway.workers import serve_workers

    try:
        check_routes(settings)
    except SettingsError as error:
        for problem in error.problems:
            print(f"ai-gateway: {problem}", file=sys.stderr)
        return 2
    raise_open_files()
    try:
        if settings.workers > 1:
            return serve_workers(
                settings,
                lambda listener, worker: uvloop.run(_run(settings, config, listener, worker)),
            )
        listener = listen(settings.host, settings.port)
    except OSError as error:
        print(
            f"ai-gateway: cannot listen on {settings.host}:{settings.port}: {error.strerror}",
            file=sys.stderr,
        )
        return 1
    return uvloop.run(_run(settings, config, listener))


async def _run(
    settings: Settings,
    config: Path | None,
    listener: socket.socket,
    worker: "Worker | None" = None,
) -> int:
    from ai_gateway.app import open_gateway
    from ai_gateway.server import GatewayServer

    log_lock = None if worker is None else worker.log_lock
    async with open_gateway(settings, config, log_lock=log_lock) as gateway:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, gateway.reload)

        def drain() -> None:
            gateway.readiness.draining = True
            gateway.log.event("info", "draining")

        server = GatewayServer(
            gateway.app,
            listener=listener,
            endpoint_grace=settings.endpoint_grace,
            drain_timeout=settings.drain_timeout,
            max_message_bytes=settings.max_body_bytes,
            on_drain=drain,
        )
        serving = asyncio.get_running_loop().create_task(server.run_until_stopped())
        while not server.started and not serving.done():
            await asyncio.sleep(0.001)
        # What lives from the start on never becomes garbage: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 10, 10)
        # A call that comes while a thread writes the log or the ledger waits for the interpreter no longer
        # than this (5 ms by default).
        sys.setswitchinterval(_SWITCH_SECONDS)
        number = None if worker is None else worker.number
        which = {} if number is None else {"worker": number}
        if worker is not None:
            gateway.metrics.others = lambda: worker.shelf.others(worker.number)
            worker.shelf.start(worker.number, gateway.metrics.encode_snapshot)
            worker.watch(lambda: os.kill(os.getpid(), signal.SIGTERM))
        if not number:
            _banner(settings, server.port, simulated=gateway.simulated)
        gateway.log.event("info", "serving", host=settings.host, port=server.port, **which)
        await serving
        gateway.log.event("info", "stopped", **which)
        if worker is not None:
            await worker.shelf.close()
    return 0


def _exposed(settings: Settings) -> Sequence[str]:
    """What others can reach without a key is said at every start."""
    if listening_is_safe(settings.host) or settings.access in ("auto", "closed"):
        return ()
    if settings.access == "open":
        return (
            f"ACCESS=open: whoever reaches {settings.host}:{settings.port} calls at your cost.",
        )
    if settings.admin_key is None and not settings.keys and not settings.auth:
        return (
            "ACCESS=until-keys: until there is ADMIN_KEY or a key, whoever reaches "
            f"{settings.host}:{settings.port} calls at your cost.",
        )
    return ()


def _banner(settings: Settings, port: int, *, simulated: bool) -> None:
    """On standard error: standard output holds the log, a JSON line each."""
    address = f"http://{settings.host}:{port}"
    lines = [
        f"ai-gateway {__version__} serving on {address}",
        f"  OpenAI SDKs:     base_url={address}/v1",
        f"  Anthropic SDKs:  base_url={address}",
        f"  metrics {address}/metrics, documents {address}/docs",
    ]
    if simulated:
        lines += [
            "  NO PROVIDER KEY IS SET: answers come from the built-in SIMULATOR, not from a model.",
            "  Set OPENAI_API_KEY, ANTHROPIC_API_KEY or another to reach real ones.",
        ]
    else:
        lines += [f"  {line}" for line in provider_lines(settings)]
    lines += [f"  warning: {warning}" for warning in (*settings.warnings, *_exposed(settings))]
    print("\n".join(lines), file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

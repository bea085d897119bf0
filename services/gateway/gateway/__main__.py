"""`python -m gateway`: the gateway as a process of its own."""

from gateway.app import build
from gateway.settings import GatewaySettings
from keyturn.service import run

if __name__ == "__main__":
    run(lambda: build(GatewaySettings()))

"""`python -m provisioner`."""

from keyturn.service import run
from provisioner.app import build
from provisioner.settings import ProvisionerSettings

if __name__ == "__main__":
    run(lambda: build(ProvisionerSettings()))

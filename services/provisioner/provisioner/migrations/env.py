from keyturn.upgrading import run_env
from provisioner.tables import metadata

run_env(metadata)

from billing.tables import metadata
from keyturn.upgrading import run_env

run_env(metadata)

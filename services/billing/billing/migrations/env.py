from billing.tables import metadata
from keyturn.database import run_env

run_env(metadata)

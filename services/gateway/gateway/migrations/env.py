from gateway.tables import Base
from keyturn.upgrading import run_env

run_env(Base.metadata)

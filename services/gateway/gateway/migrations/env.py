from gateway.tables import Base
from keyturn.database import run_env

run_env(Base.metadata)

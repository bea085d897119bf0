from keyturn.upgrading import run_env
from notifier.tables import Base

run_env(Base.metadata)

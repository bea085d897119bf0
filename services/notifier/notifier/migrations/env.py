from keyturn.database import run_env
from notifier.tables import Base

run_env(Base.metadata)

from keyturn.service import run
from notifier.app import build
from notifier.settings import NotifierSettings

run(lambda: build(NotifierSettings()))

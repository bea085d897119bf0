from billing.app import build
from billing.settings import BillingSettings
from keyturn.service import run

if __name__ == "__main__":
    run(lambda: build(BillingSettings()))

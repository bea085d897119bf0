"""Makes the tables and one endpoint, and prints the endpoint's path."""

import os
import uuid

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "site_settings")
import django

django.setup()
from django.core.management import call_command  # noqa: E402 - works only after the set-up
from djstripe.models import WebhookEndpoint  # noqa: E402

call_command("migrate", verbosity=0)
endpoint = WebhookEndpoint(
    id="we_benchmark",
    secret=os.environ["SECRET"],
    url="http://127.0.0.1/",
    enabled_events=["*"],
    status="enabled",
    livemode=False,
    djstripe_uuid=uuid.uuid4(),
    djstripe_validation_method="verify_signature",
    stripe_data={"id": "we_benchmark", "object": "webhook_endpoint"},
)
endpoint.save()
print(f"/webhook/{endpoint.djstripe_uuid}/")

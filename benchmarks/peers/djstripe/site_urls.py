from django.urls import include, path

urlpatterns = [path("", include("djstripe.urls", namespace="djstripe"))]


def stored(trigger: object, **_: object) -> None:
    """The row is there; somebody else would handle it."""

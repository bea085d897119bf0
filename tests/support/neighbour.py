"""An outside system that installs depend on."""

from collections import Counter

from fastapi import FastAPI
from fastapi.responses import JSONResponse


class Neighbour:
    """It fails at a step, for a purchase, when told: for good, or for so many times."""

    def __init__(self) -> None:
        self.broken: set[tuple[str, str]] = set()
        self.weak: Counter[str] = Counter()

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.api_route("/{step}/{purchase}", methods=["GET", "POST"])
        async def ask(step: str, purchase: str) -> JSONResponse:
            if (step, purchase) in self.broken:
                return JSONResponse({"detail": "no"}, 400)
            if self.weak[purchase] > 0:
                self.weak[purchase] -= 1
                return JSONResponse({"detail": "not now"}, 503)
            # The name of the variable in which `app` is told its port; no variable has a space in its name.
            return JSONResponse({"value": "NO NAME" if ("app", purchase) in self.broken else "PORT"})

        return app

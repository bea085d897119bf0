"""The limit: a FastAPI route that reads the body and does nothing, served as the gateway is."""

import sys

import uvicorn
from fastapi import FastAPI, Request

app = FastAPI(openapi_url=None)


@app.post("/api/webhooks/stripe")
async def nothing(request: Request) -> dict[str, bool]:
    await request.body()
    return {"received": True}


@app.get("/")
async def well() -> dict[str, bool]:
    return {"well": True}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False)

"""The mailbox's page and its JSON: `GET /api/mails?to=...`, `GET /api/mails/ID`."""

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, HTTPException
from fastapi.responses import HTMLResponse
from jinja2 import DictLoader, Environment, StrictUndefined

if TYPE_CHECKING:
    from sandbox.mailbox import Mail, Mailbox

# A mail's own HTML may run nothing; its links open beside the page.
SANDBOX = (
    "sandbox allow-popups allow-popups-to-escape-sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"
)
PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-src 'self'; form-action 'self'; "
    "base-uri 'none'"
)

STYLE = """
:root { color-scheme: light dark; --ground: #f4f5f7; --ink: #1c2130; --link: #2f5bea }
@media (prefers-color-scheme: dark) { :root { --ground: #101319; --ink: #eceef6; --link: #9db4ff } }
* { box-sizing: border-box }
body { margin: 0; padding: 1.5rem 1rem; background: var(--ground); color: var(--ink); font: 16px/1.5 sans-serif }
main { max-width: 60rem; margin: auto; overflow-wrap: anywhere }
h1 { font-size: 1.4rem; line-height: 1.25 } h2 { font-size: 1.1rem }
a { color: var(--link) }
input, button { font: inherit; padding: .3rem .6rem; max-width: 100% }
table { width: 100%; border-collapse: collapse }
th, td { text-align: left; vertical-align: top; padding: .5rem .75rem .5rem 0; border-bottom: 1px solid #8884 }
th, td:first-child { overflow-wrap: normal }
iframe { width: 100%; height: 42rem; border: 1px solid #8884; border-radius: .5rem; background: #fff }
pre { white-space: pre-wrap; border: 1px solid #8884; border-radius: .5rem; padding: 1rem }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem } dd { margin: 0 }
"""
HEAD = """<!doctype html><html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<style>{{ style|safe }}</style>"""
LIST = (
    HEAD
    + """<title>Mailbox</title><main><h1>Mailbox</h1>
<form><label>To <input name="to" value="{{ to or '' }}"></label> <button>Show</button></form>
<table><thead><tr><th>Received</th><th>To</th><th>Subject</th></tr></thead><tbody>
{% for mail in mails %}<tr><td>{{ mail.received.strftime("%H:%M:%S") }}</td><td>{{ mail.to }}</td>
<td><a href="/mails/{{ mail.id }}">{{ mail.subject }}</a></td></tr>
{% else %}<tr><td colspan="3">No mail yet.</td></tr>{% endfor %}</tbody></table></main></html>"""
)
ONE = (
    HEAD
    + """<title>{{ mail.subject }}</title><main><p><a href="/">All mails</a></p><h1>{{ mail.subject }}</h1>
<dl><dt>From</dt><dd>{{ mail.sender }}</dd><dt>To</dt><dd>{{ mail.to }}</dd>
<dt>Received</dt><dd>{{ mail.received.isoformat(timespec="seconds") }}</dd></dl>
<iframe title="The mail as HTML" src="/mails/{{ mail.id }}/html" sandbox="allow-popups allow-popups-to-escape-sandbox">
</iframe><h2>Plain text</h2><pre>{{ mail.text }}</pre></main></html>"""
)

PAGES = Environment(loader=DictLoader({"list": LIST, "one": ONE}), autoescape=True, undefined=StrictUndefined)


def app(mailbox: "Mailbox") -> FastAPI:
    made = FastAPI(title="Mailbox", docs_url=None, redoc_url=None)

    @made.get("/")
    async def page(to: str | None = None) -> HTMLResponse:
        return _html("list", mails=list(reversed(mailbox.to(to or None))), to=to)

    @made.get("/mails/{number}")
    async def one(number: int) -> HTMLResponse:
        return _html("one", mail=_find(mailbox, number))

    @made.get("/mails/{number}/html")
    async def html(number: int) -> HTMLResponse:
        body = '<base target="_blank">' + _find(mailbox, number).html
        return HTMLResponse(body, headers={"content-security-policy": SANDBOX})

    @made.get("/api/mails")
    async def mails(to: str | None = None) -> dict[str, Any]:
        return {"mails": [mail.shown() for mail in mailbox.to(to)]}

    @made.get("/api/mails/{number}")
    async def mail(number: int) -> dict[str, Any]:
        return _find(mailbox, number).shown()

    return made


def _html(name: str, **values: Any) -> HTMLResponse:
    text = PAGES.get_template(name).render(style=STYLE, **values)
    return HTMLResponse(text, headers={"content-security-policy": PAGE_POLICY})


def _find(mailbox: "Mailbox", number: int) -> "Mail":
    if not 1 <= number <= len(mailbox.mails):
        raise HTTPException(404, "no such mail")
    return mailbox.mails[number - 1]

"""Writes every page and file that is generated from the code; `--check` fails where one is not current."""

import importlib
import json
import sys
from pathlib import Path

from keyturn.events import EVENTS, Envelope, Event

ROOT = Path(__file__).parents[3]
SERVICES = {
    "gateway": "The only public edge: verifies and stores webhooks, publishes payment facts; pages, operator API",
    "billing": "Prices, money, and what follows from money",
    "provisioner": "Makes, keeps, suspends and removes installs",
    "notifier": "Tells people by e-mail",
}
OWNS = {
    "gateway": "raw webhooks, journeys, operators, tokens, audit log",
    "billing": "products, prices, customers, purchases, checkouts, payments, refunds, disputes, subscriptions, "
    "entitlements",
    "provisioner": "installs, jobs, steps, resources, names, servers, setup links",
    "notifier": "contacts, messages",
}
INTRO = """\
Generated from `keyturn.events` by `make docs`. Each travels as a structured CloudEvents 1.0 document, with its wire
name as routing key on the topic exchange `keyturn.events`. `subject` is the purchase id, except in the gateway's
events: theirs is `<provider>:<object id>`. The gateway's journeys take every event. JSON Schemas of `data`:
[schemas/](schemas/)."""
BEGIN, END = "<!-- generated: {} -->", "<!-- end -->"


def consumes(service: str) -> list[str]:
    """The names of the event classes that a service handles; `every event` where it takes the bare envelope."""
    handlers = importlib.import_module(f"{service}.handlers").HANDLERS
    return ["every event" if kind is Envelope else kind.__name__ for kind in handlers]


def publishes(service: str) -> list[str]:
    """The names of the event classes that only this service may publish."""
    return [event.__name__ for event in EVENTS if event.publisher == service]


def consumers(event: type[Event]) -> list[str]:
    """The services that handle an event, the journeys apart: those take every one."""
    return [name for name in SERVICES if event.__name__ in consumes(name)]


def services_table() -> str:
    """The table of services for the README."""
    rows = ["| service | duty | consumes | publishes | owns |", "|---|---|---|---|---|"]
    for name, duty in SERVICES.items():
        lists = [", ".join(names(name)) for names in (consumes, publishes)]
        rows.append(f"| [{name}](services/{name}/README.md) | {duty} | {lists[0]} | {lists[1]} | {OWNS[name]} |")
    return "\n".join(rows)


def schema(event: type[Event]) -> str:
    """The JSON Schema of an event's `data`, as a file's text."""
    found = event.model_json_schema(mode="serialization")
    for attribute in ("id", "subject", "time", "causationid", "traceparent"):
        found["properties"].pop(attribute)
    found["required"] = sorted(set(found.get("required", [])) - {"subject", "time"})
    return (
        json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema"} | found, indent=2, sort_keys=True) + "\n"
    )


def _fields(event: type[Event]) -> list[str]:
    properties = json.loads(schema(event))["properties"]
    own = [name for name in event.model_fields if name in properties]
    return [
        f"| `{name}` | {_type(properties[name])} | {'' if event.model_fields[name].is_required() else 'optional'} |"
        for name in own
    ]


def _type(field: dict[str, object]) -> str:
    options = field.get("anyOf")
    if isinstance(options, list):
        return " or ".join(_type(option) for option in options)
    if "enum" in field and isinstance(field["enum"], list):
        return " \\| ".join(f"`{value}`" for value in field["enum"])
    if "$ref" in field:
        return str(field["$ref"]).rsplit("/", 1)[-1]
    if "const" in field:
        return f"`{field['const']}`"
    kind = str(field.get("type", "any"))
    if kind == "array" and isinstance(items := field.get("items"), dict):
        return f"list of {_type(items)}"
    return str(field.get("format", kind))


def events_page() -> str:
    """docs/events.md: each event with its wire name, publisher, consumers and fields."""
    rows = [
        f"| [{e.__name__}](#{e.__name__.lower()}) | `{e.wire}` | {_publisher(e)} | {', '.join(consumers(e))} |"
        for e in EVENTS
    ]
    parts = [
        "# Events",
        INTRO,
        "\n".join(["| event | wire name | publisher | handled by |", "|---|---|---|---|", *rows]),
    ]
    for event in EVENTS:
        about = " ".join((event.__doc__ or "").split())
        table = "\n".join(["| field | type | |", "|---|---|---|", *_fields(event)])
        parts.append(f"## {event.__name__}\n\n`{event.wire}`: {about}\n\n{table}")
    return "\n\n".join(parts) + "\n"


def _publisher(event: type[Event]) -> str:
    return "any service" if event.publisher == "*" else event.publisher


def _filled(page: Path, mark: str, text: str) -> str:
    begin = BEGIN.format(mark)
    before, rest = page.read_text().split(begin)
    return f"{before}{begin}\n{text}\n{END}{rest.split(END, 1)[1]}"


def generated() -> dict[Path, str]:
    """Every generated file with the text it should have."""
    settings = importlib.import_module("keyturn.settings")
    topology = importlib.import_module("keyturn.bus.topology")
    files = {ROOT / "docs/schemas" / f"{event.wire}.json": schema(event) for event in EVENTS}
    files[ROOT / "docs/events.md"] = events_page()
    files[ROOT / "docs/routes.md"] = importlib.import_module("sandbox.routes").page(SERVICES)
    files[ROOT / "README.md"] = _filled(ROOT / "README.md", "services", services_table())
    files[ROOT / ".env.example"] = settings.example([f"{name}.settings" for name in SERVICES])
    files[ROOT / "deploy/rabbitmq/definitions.json"] = topology.definitions_json()
    return files


def main() -> int:
    """Exit code 1 with the stale files' names, with `--check`."""
    stale = [path for path, text in generated().items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv:
        for path in stale:
            print(f"not current: {path.relative_to(ROOT)} (run `make docs`)")
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(generated()[path])
        print(f"written: {path.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

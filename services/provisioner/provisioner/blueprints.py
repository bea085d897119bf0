"""Blueprints: the recipes of installs, loaded and checked when the service starts.

Whatever can be wrong with a recipe is found here, with file and line: an unknown kind or name, wrong parameters, a
cycle, a resource that hangs on one which may be left out.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from provisioner import documents, rendering
from provisioner.documents import Document, Way
from provisioner.errors import TemplateError
from provisioner.rendering import Ref
from provisioner.resources import Kinds

FIELDS: Mapping[str, frozenset[str] | None] = {  # None: any field
    "purchase": frozenset({"id", "product", "store_name", "subdomain", "domain"}),
    "customer": frozenset({"email", "name", "locale", "timezone"}),
    "plan": None,  # `name`, and the limits that the catalogue gives it
    "install": frozenset({"id", "hostname", "subdomain"}),
    "random": None,
    "settings": frozenset({"base_domain", "public_url", "python"}),
}
PASSWORD = Ref("password")
RESERVED = frozenset({*FIELDS, "password", "probe"})
CUSTOMER_NAMED = frozenset({"purchase", "customer"})  # roots whose values are a customer's own words

_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
_KEYS = frozenset({"name", "description", "parameters", "resources", "outputs", "setup", "credentials"})
_OUTPUTS = frozenset({"url", "admin_url"})


def customer_named(parameters: Mapping[str, Any]) -> list[str]:
    """The parameters in which a customer's own words will stand."""
    found = {name: {ref.root for ref in rendering.references(value)} for name, value in parameters.items()}
    return sorted(name for name, roots in found.items() if roots & CUSTOMER_NAMED)


@dataclass(frozen=True)
class Plan:
    """One resource of a blueprint, unrendered. `needs`: the resources that its parameters refer to."""

    name: str
    kind: str
    parameters: Mapping[str, Any]
    needs: tuple[str, ...]
    optional: bool
    when: str | None

    @property
    def customer_named(self) -> list[str]:
        return customer_named(self.parameters)


@dataclass(frozen=True)
class Setup:
    """One call that hands the chosen password over."""

    kind: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Blueprint:
    """`resources` stand in the order in which they can be made. `setup` empty and `credentials` false: the customer
    needs no password from us."""

    name: str
    description: str
    resources: Mapping[str, Plan]
    outputs: Mapping[str, str]
    setup: tuple[Setup, ...]
    credentials: bool

    @property
    def limits(self) -> frozenset[str]:
        """The limits of the plan that it reads; a plan always has its `name`."""
        made = [[plan.parameters, plan.when or ""] for plan in self.resources.values()]
        said = [made, self.outputs, [call.parameters for call in self.setup]]
        read = {ref.field for ref in rendering.references(said) if ref.root == "plan" and ref.field}
        return frozenset(read - {"name"})


def load(folder: Path, kinds: Kinds) -> dict[str, Blueprint]:
    """Every `*.yaml` of the folder. Raises `BlueprintError` for the first that cannot be used."""
    found: dict[str, Blueprint] = {}
    for file in sorted(folder.glob("*.yaml")):
        document = documents.read(file)
        blueprint = _Check(document, kinds).blueprint()
        if blueprint.name in found:
            raise document.error(("name",), f"another blueprint is named {blueprint.name!r}")
        found[blueprint.name] = blueprint
    return found


class _Check:
    def __init__(self, document: Document, kinds: Kinds) -> None:
        self._document = document
        self._tree = document.tree
        self._kinds = kinds
        self._plans: dict[str, Plan] = {}
        self._promised: dict[str, frozenset[str]] = {}
        self._ordered: frozenset[str] = frozenset()

    def blueprint(self) -> Blueprint:
        for key in self._tree:
            self._require(key in _KEYS, (key,), f"unknown key {key!r}; there are {', '.join(sorted(_KEYS))}")
        name = self._tree.get("name")
        self._require(isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9-]{0,62}", name), ("name",), "needs a name")
        self._ordered = frozenset(self._declared())
        for resource, said in self._mapping("resources").items():
            self._plans[resource] = self._plan(resource, said)
        self._require(self._plans, ("resources",), "a blueprint has at least one resource")
        for plan in self._plans.values():
            self._check_plan(plan)
        credentials = self._tree.get("credentials")
        self._require(credentials in {None, "generated"}, ("credentials",), "can only be `generated`")
        outputs, setup = self._outputs(), tuple(self._setup())
        self._require(not (setup and credentials), ("credentials",), "stands instead of `setup`, not beside it")
        if credentials:
            used = any(Ref("random", "password") in rendering.references(p.parameters) for p in self._plans.values())
            self._require(used, ("credentials",), "no resource is given {random.password}")
        description = str(self._tree.get("description") or "")
        return Blueprint(str(name), description, self._in_order(), outputs, setup, bool(credentials))

    def _declared(self) -> list[str]:
        """What an order may say beyond the usual: `parameters: [theme]`."""
        names = self._tree.get("parameters") or []
        right = isinstance(names, list) and all(isinstance(name, str) and _NAME.fullmatch(name) for name in names)
        self._require(right, ("parameters",), "is a list of names")
        return list(names)

    def _plan(self, name: str, said: Any) -> Plan:
        way = ("resources", name)
        self._require(_NAME.fullmatch(name), way, f"{name!r} is no name: letters, digits and _")
        self._require(name not in RESERVED, way, f"{name!r} has a meaning of its own")
        self._require(isinstance(said, dict), way, "a resource is a mapping with a `type`")
        rest = dict(said)
        kind, optional, when = rest.pop("type", None), rest.pop("optional", False), rest.pop("when", None)
        self._require(kind in self._kinds.resources, (*way, "type"), f"unknown type {kind!r}")
        self._require(isinstance(optional, bool), (*way, "optional"), "is true or false")
        self._require(when is None or isinstance(when, str), (*way, "when"), "is a text with names in braces")
        self._parameters(self._kinds.resources[kind].Parameters, rest, way)
        self._hidden(rest, self._kinds.resources[kind].shown, way)
        self._promised[name] = self._kinds.resources[kind].promises(rest)
        refs = list(self._references(rest, way))
        needs = dict.fromkeys(ref.root for ref in refs if ref.root not in FIELDS and ref != PASSWORD)
        return Plan(name, kind, rest, tuple(needs), optional, when)

    def _check_plan(self, plan: Plan) -> None:
        way = ("resources", plan.name)
        for key, value in plan.parameters.items():
            self._check_names(value, (*way, key))
        if plan.when is not None:
            self._check_names(plan.when, (*way, "when"), resources=False)
        for name in plan.needs:
            other = self._plans[name]
            self._require(not other.optional or plan.optional, way, f"needs {name!r}, which is not waited for")
            self._require(other.when in {None, plan.when}, way, f"needs {name!r}, which `when` may leave out")

    def _parameters(self, model: type[BaseModel], said: Mapping[str, Any], way: Way) -> None:
        """As far as they are literal; what stands in braces is checked when it is filled in."""
        try:
            model.model_validate(said)
        except ValidationError as error:
            for one in error.errors(include_url=False, include_input=False, include_context=False):
                at, value = _nearest(said, one["loc"])
                if not (isinstance(value, str) and "{" in value):
                    raise self._document.error((*way, *at), f"{'.'.join(map(str, one['loc']))}: {one['msg']}") from None

    def _hidden(self, said: Mapping[str, Any], shown: frozenset[str], way: Way) -> None:
        """A program's arguments can be read by whoever is on its host."""
        for name in shown & said.keys():
            for ref in self._references(said[name], (*way, name)):
                secret = ref == PASSWORD or ref.root == "random"
                self._require(not secret, (*way, name), f"{{{ref}}} would be shown to others here: put it into `env`")

    def _references(self, tree: Any, way: Way) -> Iterator[Ref]:
        for at, text in _texts(tree, way):
            try:
                yield from rendering.references(text)
            except TemplateError as error:
                raise self._document.error(at, str(error)) from None

    def _check_names(self, tree: Any, way: Way, *, resources: bool = True, password: bool = False) -> None:
        for at, text in _texts(tree, way):
            for ref in self._references(text, at):
                self._check_name(ref, at, resources=resources, password=password)

    def _check_name(self, ref: Ref, at: Way, *, resources: bool, password: bool) -> None:
        if ref == PASSWORD:
            self._require(password, at, "{password} is known in `setup` alone")
        elif ref.root in FIELDS:
            fields = FIELDS[ref.root]
            known = fields is None or ref.field in fields or (ref.root == "purchase" and ref.field in self._ordered)
            self._require(known and ref.field, at, f"unknown name {{{ref}}}")
        else:
            self._require(resources and ref.root in self._plans, at, f"unknown name {{{ref}}}")
            offered = ", ".join(sorted(self._promised[ref.root])) or "nothing"
            self._require(ref.field in self._promised[ref.root], at, f"{ref.root} gives {offered}, not {ref.field!r}")

    def _outputs(self) -> dict[str, str]:
        outputs = self._mapping("outputs")
        for name, text in outputs.items():
            way = ("outputs", name)
            self._require(name in _OUTPUTS and isinstance(text, str), way, f"outputs are {', '.join(sorted(_OUTPUTS))}")
            self._check_names(text, way)
            self._check_waited_for(text, way)
        return outputs

    def _setup(self) -> Iterator[Setup]:
        calls = self._tree.get("setup") or []
        self._require(isinstance(calls, list), ("setup",), "is a list of calls")
        for index, said in enumerate(calls):
            way: Way = ("setup", index)
            self._require(isinstance(said, dict), way, "a call is a mapping with a `type`")
            rest = dict(said)
            kind = rest.pop("type", None)
            self._require(kind in self._kinds.setup, (*way, "type"), f"unknown type {kind!r} for setup")
            self._parameters(self._kinds.setup[kind].Parameters, rest, way)
            self._hidden(rest, self._kinds.setup[kind].shown, way)
            self._check_names(rest, way, password=True)
            self._check_waited_for(rest, way)
            yield Setup(kind, rest)

    def _check_waited_for(self, tree: Any, way: Way) -> None:
        for at, text in _texts(tree, way):
            for ref in rendering.references(text):
                plan = self._plans.get(ref.root)
                certain = plan is None or (not plan.optional and plan.when is None)
                self._require(certain, at, f"{{{ref}}} is not certain to be there")

    def _in_order(self) -> dict[str, Plan]:
        """So that each comes after what it needs, and otherwise as written."""
        graph = TopologicalSorter({plan.name: plan.needs for plan in self._plans.values()})
        try:
            order = list(graph.static_order())
        except CycleError as error:
            circle = error.args[1]
            raise self._document.error(("resources", circle[0]), f"goes in a circle: {' -> '.join(circle)}") from None
        return {name: self._plans[name] for name in order}

    def _mapping(self, key: str) -> dict[str, Any]:
        found = self._tree.get(key) or {}
        self._require(isinstance(found, dict), (key,), "is a mapping")
        return dict(found)

    def _require(self, right: object, way: Way, message: str) -> None:
        if not right:
            raise self._document.error(way, message)


def _texts(tree: Any, way: Way) -> Iterator[tuple[Way, str]]:
    if isinstance(tree, str):
        yield way, tree
    elif isinstance(tree, dict):
        for key, value in tree.items():
            yield from _texts(value, (*way, key))
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            yield from _texts(value, (*way, index))


def _nearest(tree: Any, loc: tuple[str | int, ...]) -> tuple[Way, Any]:
    """How far a validation error's place can be followed into what was written, and what stands there."""
    way: Way = ()
    for part in loc:
        if isinstance(tree, dict) and part in tree:
            tree = tree[str(part)]
        elif isinstance(tree, list) and isinstance(part, int) and part < len(tree):
            tree = tree[part]
        else:
            continue  # the name of a union's branch, or a missing field
        way = (*way, part)
    return way, tree

"""What a blueprint may say of containers, images and places, and what becomes of it."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError

from provisioner import blueprints
from provisioner.errors import BlueprintError
from provisioner.resources import kinds
from provisioner.resources.docker.images import Reference
from provisioner.resources.docker.place import PlaceParameters
from provisioner.resources.docker.spec import ContainerParameters, spec
from provisioner.resources.local import Local

SMALL: dict[str, Any] = {"image": "shop:1", "limits": {"memory": "64M", "cpus": 0.5}}
NETWORK = "kt-0123456789abcdef-net"


def wanted(**said: Any) -> ContainerParameters:
    return ContainerParameters.model_validate(SMALL | said)


def sha(**said: Any) -> str:
    return spec(wanted(**said), NETWORK, ("127.0.0.1", 15000), "app").sha256


@pytest.mark.parametrize(
    "image",
    [
        "shop", "shop:1", "library/shop", "registry.example:5000/team/shop:v1.2", "a/b/c@sha256:" + "0" * 64,
        "sha256:" + "a" * 64, "ghcr.io/x/y_z-1:latest@sha256:" + "b" * 64,
    ],
)  # fmt: skip
def test_references_of_images(image: str) -> None:
    assert TypeAdapter(Reference).validate_python(image) == image


@pytest.mark.parametrize(
    "image",
    [
        "", "../../containers", "a/../b", "shop:1?x=2", "shop 1", "shop\n", "a//b", "/a", "a/", "Shop", "shop@sha256:12",
        "http://x/y", "shop:" + "1" * 200, "shop#1", "shop%2f1", "\u0455hop", "shop@sha256:" + "g" * 64,
    ],
)  # fmt: skip
def test_what_is_no_reference_is_refused(image: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(Reference).validate_python(image)


@pytest.mark.parametrize(
    ("said", "size"), [("6M", 6 * 2**20), ("1G", 2**30), ("512m", 2**29), (2**25, 2**25), ("33554432", 2**25)]
)
def test_sizes(said: object, size: int) -> None:
    assert PlaceParameters.model_validate({"memory": said, "cpus": 1}).memory == size


@pytest.mark.parametrize("said", ["", "M", "5M", "1.5G", "-1G", "1e9", "64 M", "\u0661M", "64X", None, "9999T"])
def test_what_is_no_size_is_refused(said: object) -> None:
    with pytest.raises(ValidationError):
        PlaceParameters.model_validate({"memory": said, "cpus": 1})


@pytest.mark.parametrize(
    "said",
    [
        {"env": {"A B": "x"}}, {"env": {"A=B": "x"}}, {"env": {"A": "x\0y"}}, {"argv": ["x\0"]}, {"user": "root; x"},
        {"user": "a:b:c"}, {"volumes": {"data": NETWORK}}, {"volumes": {"/a/../etc": NETWORK}}, {"volumes": {"/a": "/etc"}},
        {"volumes": {"/a:ro": NETWORK}}, {"volumes": {"/": NETWORK}}, {"tmpfs": {"/tmp,exec": "8M"}}, {"network": "host"},
        {"network": "container:x"}, {"capabilities": ["SYS_ADMIN"]}, {"capabilities": ["ALL"]}, {"restart": "always"},
        {"port": 0}, {"port": 70000}, {"server": "../x"}, {"privileged": True}, {"limits": {"memory": "64M"}},
        {"health": {}}, {"health": {"path": "/", "argv": ["x"]}}, {"health": {"path": "//evil@x"}},
        {"health": {"path": "/ HTTP/1.1"}}, {"health": {"path": "/", "host": "a\r\nb"}}, {"labels": {"a b": "c"}},
    ],
)  # fmt: skip
def test_what_a_blueprint_may_not_say_of_a_container(said: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        wanted(**said)


def test_a_container_is_hardened_unless_the_blueprint_says_otherwise() -> None:
    host = spec(wanted(), NETWORK, None, "app").body["HostConfig"]
    assert (host["CapDrop"], host["CapAdd"], host["ReadonlyRootfs"]) == (["ALL"], [], True)
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["Tmpfs"] == {"/tmp": "rw,noexec,nosuid,nodev,size=67108864"}
    assert spec(wanted(), NETWORK, None, "app").body["User"] == "65534:65534"
    loose = wanted(read_only=False, new_privileges=True, capabilities=["NET_BIND_SERVICE"], user="root", tmpfs={})
    made = spec(loose, NETWORK, None, "app").body
    host = made["HostConfig"]
    assert (host["CapAdd"], host["ReadonlyRootfs"], host["SecurityOpt"]) == (["NET_BIND_SERVICE"], False, [])
    assert (made["User"], host["Tmpfs"]) == ("root", {})


def test_a_port_is_published_on_the_servers_own_address_alone() -> None:
    body = spec(wanted(port=8080), NETWORK, ("127.0.0.1", 15001), "app").body
    assert body["HostConfig"]["PortBindings"] == {"8080/tcp": [{"HostIp": "127.0.0.1", "HostPort": "15001"}]}


def test_new_limits_need_no_new_container_and_everything_else_does() -> None:
    assert sha() == sha(limits={"memory": "1G", "cpus": 4, "pids": 99}) == sha(restart="no")
    others: list[dict[str, Any]] = [
        {"image": "shop:2"}, {"env": {"A": "1"}}, {"env": {"A": "2"}}, {"argv": ["x"]}, {"port": 80}, {"user": "1:1"},
        {"volumes": {"/d": NETWORK}}, {"read_only": False}, {"health": {"argv": ["x"]}},
    ]  # fmt: skip
    assert len({sha(), *(sha(**one) for one in others)}) == len(others) + 1


def test_a_health_check_asked_by_us_is_no_part_of_the_container() -> None:
    assert sha() == sha(health={"path": "/health/"})


def test_rule_17_parameters_say_nothing_of_their_secrets() -> None:
    assert "geheim" not in repr(wanted(env={"KEY": SecretStr("geheim")}))


SHOWN = """\
name: shown
resources:
  app:
    type: docker.container
    image: shop:1
    limits: {memory: 64M, cpus: 1}
    ARGV
SETUP
"""


@pytest.mark.parametrize(
    ("argv", "setup", "line"),
    [
        ("argv: [serve, --key, '{random.key}']", "", 7),
        ("", "setup:\n  - {type: docker.exec, container: '{app.id}', argv: [passwd, '{password}']}", 9),
        ("", "setup:\n  - {type: docker.exec, container: '{app.id}', argv: [sh, -c, 'echo {password}']}", 9),
    ],
)
def test_rule_17_no_secret_stands_among_the_arguments_of_a_program(
    tmp_path: Path, argv: str, setup: str, line: int
) -> None:
    (tmp_path / "shown.yaml").write_text(SHOWN.replace("ARGV", argv).replace("SETUP", setup))
    known = kinds(httpx.AsyncClient(), Local(tmp_path, range(0)))
    with pytest.raises(
        BlueprintError, match=rf"shown.yaml:{line}: .* would be shown to others here: put it into `env`"
    ):
        blueprints.load(tmp_path, known)


def test_a_container_without_a_port_gives_no_address(tmp_path: Path) -> None:
    text = SHOWN.replace("ARGV", "").replace("SETUP", 'outputs: {url: "{app.url}"}')
    (tmp_path / "shown.yaml").write_text(text)
    with pytest.raises(BlueprintError, match="app gives id, name, server, not 'url'"):
        blueprints.load(tmp_path, kinds(httpx.AsyncClient(), Local(tmp_path, range(0))))

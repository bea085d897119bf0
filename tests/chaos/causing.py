"""Doing to the world what a fault says, and mending it again."""

import asyncio
import signal
from collections.abc import Awaitable, Callable

from chaos.faults import Fault, Strike
from chaos.world import World
from keyturn.bus.topology import definitions, events_queue
from support.proxy import Proxy

DELAY = 0.15
NARROW = 2  # messages that a queue holds while it is being filled


async def cause(world: World, strike: Strike) -> None:
    """Returns when all is mended; what was hit may not have noticed by then."""
    await asyncio.gather(*(_cause(world, fault) for fault in strike))


async def _cause(world: World, fault: Fault) -> None:
    doing: dict[str, Callable[[World, Fault], Awaitable[None]]] = {
        "kill": _kill,
        "kill both": _kill_both,
        "kill server": _kill_server,
        "stall": _stall,
        "stall server": _stall_server,
        "cut": _cut,
        "delay": _delay,
        "swallow": _swallow,
        "fill queue": _fill_queue,
        "expire leases": _expire_leases,
        "no mail": _no_mail,
        "provider fails": _provider_fails,
    }
    await doing[fault.what](world, fault)


async def _kill(world: World, fault: Fault) -> None:
    await _kill_these(world, [fault.whom], fault.seconds)


async def _kill_both(world: World, fault: Fault) -> None:
    await _kill_these(world, [f"{fault.whom}-1", f"{fault.whom}-2"], fault.seconds)


async def _kill_these(world: World, replicas: list[str], seconds: float) -> None:
    for replica in replicas:
        await world.replicas.kill(replica)
    await asyncio.sleep(seconds)
    for replica in replicas:
        await world.replicas.launch(replica)


async def _kill_server(world: World, fault: Fault) -> None:
    server = world.servers[fault.whom]
    await server.kill()
    await asyncio.sleep(fault.seconds)
    await server.launch()


async def _stall(world: World, fault: Fault) -> None:
    world.replicas.signal(fault.whom, signal.SIGSTOP)
    await asyncio.sleep(fault.seconds)
    world.replicas.signal(fault.whom, signal.SIGCONT)


async def _stall_server(world: World, fault: Fault) -> None:
    world.servers[fault.whom].signal(signal.SIGSTOP)
    await asyncio.sleep(fault.seconds)
    world.servers[fault.whom].signal(signal.SIGCONT)


def _link(world: World, fault: Fault) -> Proxy:
    service, _, link = fault.whom.partition("/")
    return world.replicas.fronts[service] if link == "http" else world.links[link, service]


async def _cut(world: World, fault: Fault) -> None:
    proxy = _link(world, fault)
    proxy.mode = "refuse"
    proxy.reset()
    await asyncio.sleep(fault.seconds)
    proxy.mode = "pass"


async def _delay(world: World, fault: Fault) -> None:
    proxy = _link(world, fault)
    proxy.delay = DELAY
    await asyncio.sleep(fault.seconds)
    proxy.delay = 0


async def _swallow(world: World, fault: Fault) -> None:
    """What was swallowed is gone, as never on a real network: so the connections end with it."""
    proxy = _link(world, fault)
    proxy.mode = "swallow from" if fault.seconds > 3 else "swallow to"  # the same at each run of a seed
    await asyncio.sleep(fault.seconds)
    proxy.mode = "pass"
    proxy.reset()


async def _fill_queue(world: World, fault: Fault) -> None:
    """Little goes in, and nobody takes anything out."""
    replicas = [f"{fault.whom}-1", f"{fault.whom}-2"]
    (policy,) = (one for one in definitions({fault.whom: []})["policies"] if one["name"] == events_queue(fault.whom))
    narrow = policy["definition"] | {"max-length": NARROW}
    await asyncio.to_thread(world.broker.set_policy, world.vhost, "narrow", policy["pattern"], narrow)
    for replica in replicas:
        world.replicas.signal(replica, signal.SIGSTOP)
    await asyncio.sleep(fault.seconds)
    for replica in replicas:
        world.replicas.signal(replica, signal.SIGCONT)
    await asyncio.to_thread(world.broker.remove_policy, world.vhost, "narrow")


async def _expire_leases(world: World, fault: Fault) -> None:
    await world.traces.free_leases(fault.whom)


async def _no_mail(world: World, fault: Fault) -> None:
    await world.system.mailbox.down()
    await asyncio.sleep(fault.seconds)
    await world.system.mailbox.up()


async def _provider_fails(world: World, fault: Fault) -> None:
    faults = getattr(world.system, fault.whom).faults
    for kind in ("error", "error_after", "rate_limit", "garbage_after", "drop") * 3:
        faults.add(kind)
    await asyncio.sleep(fault.seconds)
    faults.clear()

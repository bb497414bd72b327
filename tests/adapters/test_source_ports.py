"""Source ports: none comes again before all others had their turn, and no order is like another one's."""

from __future__ import annotations

import random
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from bot.adapters.source_ports import DYNAMIC, TRIES, SourcePorts, usable

LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


def some_ports(count: int) -> list[int]:
    """Ports that neither the kernel gives to others nor a test listens on."""
    return random.SystemRandom().sample(range(10_000, 32_000), count)


async def used(sources: SourcePorts, count: int, family: socket.AddressFamily = socket.AF_INET) -> list[int]:
    """The ports of the next *count* connections (UDP: nothing keeps them when they are closed)."""
    found = []
    for _ in range(count):
        with await sources.connected(LOOPBACK[family], 9, socket.SOCK_DGRAM) as sock:
            found.append(sock.getsockname()[1])
    return found


@pytest.mark.parametrize("family", LOOPBACK)
async def test_every_port_has_its_turn_before_one_comes_again(family: socket.AddressFamily) -> None:
    ports = some_ports(20)
    sources = SourcePorts(ports)
    first, second = await used(sources, 20, family), await used(sources, 20, family)
    assert sorted(first) == sorted(ports)
    assert second == first


async def test_two_have_different_orders() -> None:
    ports = some_ports(20)
    assert await used(SourcePorts(ports), 20) != await used(SourcePorts(ports), 20)


async def test_a_port_that_somebody_else_has_is_passed_over() -> None:
    taken, free = some_ports(2)
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind((LOOPBACK[socket.AF_INET], taken))
        assert set(await used(SourcePorts([taken, free]), 4)) == {free}


@pytest.mark.parametrize("ports", [some_ports(1), []], ids=["taken", "none"])
async def test_where_no_port_is_free_the_kernel_chooses(ports: Sequence[int]) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind((LOOPBACK[socket.AF_INET], ports[0] if ports else 0))
        found = await used(SourcePorts(list(ports) * TRIES), 1)
    assert found[0] not in (0, *ports)


async def test_nothing_is_connected_to_itself() -> None:
    port, other = some_ports(2)
    sources = SourcePorts([port, other])
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            await sources.connected(LOOPBACK[socket.AF_INET], port, socket.SOCK_STREAM)


async def test_what_cannot_be_connected_leaves_no_socket_open() -> None:
    source, nobody = some_ports(2)
    with pytest.raises(ConnectionRefusedError) as told:
        await SourcePorts([source]).connected(LOOPBACK[socket.AF_INET], nobody, socket.SOCK_STREAM)
    with socket.socket() as another:
        another.bind((LOOPBACK[socket.AF_INET], source))  # it is free, though the error still holds on to what it met
    assert told


@pytest.mark.parametrize(
    ("reserved", "found"),
    [("\n", (40000, 40001, 40002, 40003, 40004)), ("8080,40001-40003\n", (40000, 40004)), ("1-65535\n", ())],
)
def test_it_takes_what_the_kernel_may_take(tmp_path: Path, reserved: str, found: tuple[int, ...]) -> None:
    (tmp_path / "ip_local_port_range").write_text("40000\t40004\n")
    (tmp_path / "ip_local_reserved_ports").write_text(reserved)
    assert usable(tmp_path) == found


@pytest.mark.parametrize("text", [None, "", "many"])
def test_where_the_kernel_does_not_say_it_takes_the_dynamic_ones(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "ip_local_port_range").write_text(text)
    assert usable(tmp_path) == tuple(range(DYNAMIC[0], DYNAMIC[1] + 1))

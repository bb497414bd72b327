"""The two settings, as sysctl of procps-ng 4.0.2 printed them."""

from __future__ import annotations

import pytest

from bot.lvs.errors import Unreadable
from bot.lvs.sysctl import BOOT_ID, IP_FORWARD, VS_CONNTRACK, parse_values, read, switched_on
from tests.lvs.captured import captured


def test_the_command_reads_and_sets_nothing() -> None:
    assert read() == ("/sbin/sysctl", "-e", "net.ipv4.ip_forward", "net.ipv4.vs.conntrack")


@pytest.mark.parametrize(
    ("name", "forward", "conntrack"),
    [("both-on", True, True), ("conntrack-off", True, False), ("module-not-loaded", False, None)],
)
def test_a_key_that_does_not_exist_is_told_apart_from_one_that_is_0(
    name: str, forward: bool | None, conntrack: bool | None
) -> None:
    values = parse_values(captured(f"procps-4.0.2/{name}"))
    assert switched_on(values, IP_FORWARD) is forward
    assert switched_on(values, VS_CONNTRACK) is conntrack


def test_the_boot_id_comes_in_the_same_call() -> None:
    keys = (IP_FORWARD, VS_CONNTRACK, BOOT_ID)
    assert read(keys)[-1] == "kernel.random.boot_id"
    values = parse_values(captured("procps-4.0.2/with-boot-id"), keys)
    assert values[BOOT_ID] == "d936274a-c057-4d94-9f7c-c7851debcd8d"
    assert switched_on(values, VS_CONNTRACK) is True


def test_a_value_may_be_empty_or_have_many_words() -> None:
    text = "net.ipv4.tcp_rmem = 4096\t131072\t6291456\nkernel.core_pattern = \n"
    keys = ("net.ipv4.tcp_rmem", "kernel.core_pattern")
    assert parse_values(text, keys) == {"net.ipv4.tcp_rmem": "4096\t131072\t6291456", "kernel.core_pattern": ""}


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("1\n0\n", "not a setting"),
        ("net.ipv4.ip_forward = 1\nnet.ipv4.ip_forward = 0\n", "printed twice"),
        ("net.ipv4.ip_default_ttl = 64\n", "not asked for"),
    ],
)
def test_what_was_not_asked_for_is_an_error(text: str, why: str) -> None:
    with pytest.raises(Unreadable, match=why):
        parse_values(text)


def test_a_switch_is_0_or_1() -> None:
    with pytest.raises(Unreadable, match="a switch is 0 or 1"):
        switched_on(parse_values("net.ipv4.ip_forward = 2\n"), IP_FORWARD)

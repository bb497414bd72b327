"""ICMP: one echo request and its reply (RFC 792, RFC 4443)."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import struct

from bot.adapters.prober.stage import Stage
from bot.adapters.prober.verdict import Verdict, healthy, unmeasured
from bot.domain.fleet import Address

ECHO_REQUEST = {4: 8, 6: 128}
ECHO_REPLY = {4: 0, 6: 129}
HOW_TO_ALLOW = (
    "the bot may not send ICMP: set net.ipv4.ping_group_range to include its group "
    '(sysctl -w net.ipv4.ping_group_range="0 2147483647"), or give it CAP_NET_RAW'
)


async def echo(address: Address, stage: Stage) -> Verdict:
    """Ask for one echo. Raises OSError when the network fails."""
    stage.doing = "opening an ICMP socket"
    try:
        sock = _open(address.version)
    except PermissionError:
        return unmeasured(HOW_TO_ALLOW)
    with sock:
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        stage.doing = "sending the echo request"
        # The token tells our reply apart from those to other programs, which a raw socket sees as well.
        token = secrets.token_bytes(16)
        sock.connect((str(address), 0))  # no packet is sent: it only says whose answers to take
        await loop.sock_sendall(sock, _request(address.version, token))
        stage.doing = "waiting for the echo reply"
        while not _is_reply(await loop.sock_recv(sock, 2048), address.version, token, raw=sock.type == socket.SOCK_RAW):
            pass
    return healthy("echo reply")


def _open(version: int) -> socket.socket:
    """An unprivileged echo socket (icmp(7), ping_group_range), or a raw one; raises PermissionError for neither."""
    family, protocol = (
        (socket.AF_INET6, socket.IPPROTO_ICMPV6) if version == 6 else (socket.AF_INET, socket.IPPROTO_ICMP)
    )
    try:
        return socket.socket(family, socket.SOCK_DGRAM, protocol)
    except PermissionError:
        return socket.socket(family, socket.SOCK_RAW, protocol)


def _request(version: int, token: bytes) -> bytes:
    identifier = os.getpid() & 0xFFFF
    unsigned = struct.pack("!BBHHH", ECHO_REQUEST[version], 0, 0, identifier, 1) + token
    # The kernel fills in the checksum of ICMPv6 (RFC 3542) and of unprivileged sockets, but not of raw ICMP.
    return unsigned[:2] + struct.pack("!H", checksum(unsigned)) + unsigned[4:]


def _is_reply(packet: bytes, version: int, token: bytes, *, raw: bool) -> bool:
    if raw and version == 4:
        packet = packet[(packet[0] & 0x0F) * 4 :]  # a raw IPv4 socket hands over the IP header as well
    return len(packet) >= 8 and packet[0] == ECHO_REPLY[version] and packet[8:] == token


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF

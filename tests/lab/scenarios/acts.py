"""What is done to the site: each act is a sentence and what makes it true."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from tests.lab.scenarios.stage import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that is done, in words and in deed. ``to_hurt``: to the second bot, and not to the site."""

    text: str
    do: Callable[[Stage], Awaitable[object]]
    to_hurt: bool = False


def together(*acts: Act) -> Act:
    """All of *acts* side by side."""

    async def do(stage: Stage) -> None:
        await asyncio.gather(*(act.do(stage) for act in acts))

    return Act(text=" and ".join(act.text for act in acts), do=do)


def nothing() -> Act:
    """Time passes."""
    return Act(text="nothing is done", do=lambda _stage: asyncio.sleep(0))


def shell(text: str, host: str, script: str) -> Act:
    """*script* as root on *host*."""
    return Act(text=text, do=lambda stage: stage.on(host, "sh", "-c", script))


# --- keepalived -----------------------------------------------------------------------------------------------------

# The VRRP process is the one with the raw sockets; the health checker is the parent's other child.
VRRP = """vrrp=$(ss -Hwp | sed -n 's/.*"keepalived[^"]*",pid=\\([0-9]*\\).*/\\1/p' | head -1)"""
CHECKER = f"""{VRRP}; checker=$(pgrep -P "$(cat /run/keepalived.pid)" | grep -vx "$vrrp")"""


def stop_keepalived(director: str) -> Act:
    """As somebody on the host would."""
    return shell(f"keepalived is stopped on {director}", director, "systemctl stop keepalived")


def start_keepalived(director: str) -> Act:
    """As somebody on the host would; from whatever state the unit is in."""
    return shell(f"keepalived is started on {director}", director, "systemctl start keepalived")


def restart_keepalived(director: str) -> Act:
    """As somebody on the host would."""
    return shell(f"keepalived is restarted on {director}", director, "systemctl restart keepalived")


def reload_keepalived(director: str) -> Act:
    """As somebody on the host would."""
    return shell(f"keepalived is reloaded on {director}", director, "systemctl reload keepalived")


def kill_keepalived(director: str) -> Act:
    """kill -9 of the process that the unit watches."""
    return shell(f"keepalived's parent is killed on {director}", director, 'kill -9 "$(cat /run/keepalived.pid)"')


def freeze_keepalived(director: str) -> Act:
    """Every process of it stops where it is; nothing is said any more."""
    return shell(f"keepalived is frozen on {director}", director, "systemctl kill --signal=STOP keepalived")


def thaw_keepalived(director: str) -> Act:
    """Every process of it goes on."""
    return shell(f"keepalived goes on on {director}", director, "systemctl kill --signal=CONT keepalived")


def kill_vrrp_process(director: str) -> Act:
    """kill -9 of the child that speaks VRRP."""
    return shell(f"keepalived's VRRP process is killed on {director}", director, f'{VRRP}; kill -9 "$vrrp"')


def freeze_vrrp_process(director: str) -> Act:
    """The child that speaks VRRP stops where it is."""
    return shell(f"keepalived's VRRP process is frozen on {director}", director, f'{VRRP}; kill -STOP "$vrrp"')


def kill_checker(director: str) -> Act:
    """kill -9 of the child that checks real servers."""
    return shell(f"keepalived's checker is killed on {director}", director, f'{CHECKER}; kill -9 "$checker"')


def freeze_checker(director: str) -> Act:
    """The child that checks real servers stops where it is."""
    return shell(f"keepalived's checker is frozen on {director}", director, f'{CHECKER}; kill -STOP "$checker"')


# --- the host and its network ---------------------------------------------------------------------------------------


def kill_guest(director: str) -> Act:
    """The plug is pulled."""
    return Act(text=f"{director}'s plug is pulled", do=lambda stage: asyncio.to_thread(stage.lab.kill, director))


def boot_guest(director: str) -> Act:
    """It is switched on again; returns when one can log in."""
    return Act(text=f"{director} is switched on", do=lambda stage: asyncio.to_thread(stage.lab.start, director))


def reboot_guest(director: str) -> Act:
    """As somebody on the host would; returns when one can log in again."""
    return Act(text=f"{director} is rebooted", do=lambda stage: asyncio.to_thread(stage.lab.reboot, director))


def pause_guest(director: str) -> Act:
    """Its processor stops; it knows nothing of that."""
    return Act(text=f"{director} is paused", do=lambda stage: asyncio.to_thread(stage.lab.pause, director))


def resume_guest(director: str) -> Act:
    """Its processor goes on; its clock is behind."""
    return Act(text=f"{director} goes on", do=lambda stage: asyncio.to_thread(stage.lab.resume, director))


def unplug(director: str) -> Act:
    """Its network card says that there is no link; so does the bridge on it."""
    return Act(
        text=f"{director}'s link is down", do=lambda stage: asyncio.to_thread(stage.lab.link, director, up=False)
    )


def plug_in(director: str) -> Act:
    """The link is back."""
    return Act(text=f"{director}'s link is up", do=lambda stage: asyncio.to_thread(stage.lab.link, director, up=True))


def interface_down(director: str, seconds: float) -> Act:
    """The interface that keepalived watches is down, and comes up by itself: nobody can log in meanwhile."""
    script = f"ip link set br0 down; sleep {seconds:g}; ip link set br0 up"
    return shell(f"{director}'s br0 goes down for {seconds:g} s", director, f"({script}) >/dev/null 2>&1 &")


def block_vrrp(director: str) -> Act:
    """Its firewall drops what the others say about VRRP (IP protocol 112)."""
    return shell(f"VRRP is blocked on {director}", director, "iptables -w -I INPUT -p 112 -j DROP")


def unblock_vrrp(director: str) -> Act:
    """Its firewall lets VRRP in again."""
    return shell(f"VRRP passes on {director}", director, "iptables -w -D INPUT -p 112 -j DROP")


# --- by hand --------------------------------------------------------------------------------------------------------


def delete_vip(director: str) -> Act:
    """`ip address del`, under a running keepalived."""
    return shell(f"the VIP is deleted on {director}", director, "ip address del 10.100.5.11/21 dev br0")


def delete_vip_and_dawdle(director: str) -> Act:
    """`ip address del` on a host that is busy: its keepalived is not the first to take the address again.

    Its last advertisement of priority 0 makes the other one wait for its skew time, as it does itself: 0.61 and 0.65 s
    at the reference site (RFC 5798, 6.1).
    """
    until = "until=$(($(date +%s%N) / 1000 + 850000)); export until"
    loop = "while ((${EPOCHREALTIME/./} < until)); do :; done"
    command = f"{until}; ip address del 10.100.5.11/21 dev br0; sleep 0.1; chrt --fifo 50 bash -c '{loop}'"
    return shell(f"the VIP is deleted on {director}, which is busy for a moment then", director, command)


def clear_table(director: str) -> Act:
    """`ipvsadm -C`, under a running keepalived."""
    return shell(f"the IPVS table is cleared on {director}", director, "ipvsadm -C")


# --- real servers ---------------------------------------------------------------------------------------------------


def stop_web(server: str) -> Act:
    """Its web server ends: connections are refused."""
    return shell(f"nginx stops on {server}", server, "systemctl stop nginx")


def start_web(server: str) -> Act:
    """Its web server is there again."""
    return shell(f"nginx starts on {server}", server, "systemctl start nginx")


def stop_everything(server: str) -> Act:
    """Its web server and its name server end."""
    return shell(f"nginx and dns stop on {server}", server, "systemctl stop nginx dns")


def start_everything(server: str) -> Act:
    """Both are there again."""
    return shell(f"nginx and dns start on {server}", server, "systemctl start nginx dns")


# --- the bots, Slack and the way between them and the directors -----------------------------------------------------


def bot_dies() -> Act:
    """kill -9 of the second bot; the first goes on."""

    return Act(text="the second bot is killed", do=lambda stage: stage.hurt.kill(), to_hurt=True)


def bot_lives() -> Act:
    """The second bot is started again on what it left behind."""

    return Act(text="the second bot is started again", do=lambda stage: stage.hurt.start(settled=False), to_hurt=True)


def slack_away() -> Act:
    """Slack is gone for both bots: every call is reset and sockets drop."""

    async def do(stage: Stage) -> None:
        for work in stage.bots:
            work.slack.faults.down()

    return Act(text="Slack goes away", do=do)


def slack_back() -> Act:
    """Slack is there again."""

    async def do(stage: Stage) -> None:
        for work in stage.bots:
            work.slack.faults.clear()

    return Act(text="Slack is back", do=do)


def webhook_away() -> Act:
    """Nobody answers where the agents report: they have to keep what they have."""

    async def do(stage: Stage) -> None:
        stage.relay.away(True)

    return Act(text="the webhook goes away", do=do)


def webhook_back() -> Act:
    """The agents are answered again."""

    async def do(stage: Stage) -> None:
        stage.relay.away(False)

    return Act(text="the webhook is back", do=do)

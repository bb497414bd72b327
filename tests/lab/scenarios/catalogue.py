"""Every scenario: what is done when, what is to be seen between, and what must have been told at the end."""

from __future__ import annotations

from itertools import chain

from tests.lab.scenarios.acts import (
    block_vrrp,
    boot_guest,
    bot_dies,
    bot_lives,
    clear_table,
    delete_vip,
    freeze_checker,
    freeze_keepalived,
    freeze_vrrp_process,
    interface_down,
    kill_checker,
    kill_guest,
    kill_keepalived,
    kill_vrrp_process,
    pause_guest,
    plug_in,
    reboot_guest,
    reload_keepalived,
    restart_keepalived,
    resume_guest,
    slack_away,
    slack_back,
    start_everything,
    start_keepalived,
    start_web,
    stop_everything,
    stop_keepalived,
    stop_web,
    thaw_keepalived,
    together,
    unblock_vrrp,
    unplug,
    webhook_away,
    webhook_back,
)
from tests.lab.scenarios.timeline import Scenario, at

CLEAN_STOP = Scenario(
    name="clean_stop",
    title="keepalived is stopped on the MASTER and started again",
    timeline=(
        at(0, stop_keepalived("sv1")),
        at(2, bot_dies()),
        at(7, bot_lives()),
        at(12, start_keepalived("sv1")),
    ),
)

KEEPALIVED_KILLED = Scenario(
    name="keepalived_killed",
    title="kill -9 of keepalived on the MASTER; it is started again",
    timeline=(
        at(0, kill_keepalived("sv1")),
        at(2, bot_dies()),
        at(7, bot_lives()),
        at(12, start_keepalived("sv1")),
    ),
)

GUEST_KILLED = Scenario(
    name="guest_killed",
    title="kill -9 of the MASTER's guest, with web1 inside; it is switched on again",
    timeline=(
        at(0, kill_guest("sv1")),
        at(4, bot_dies()),
        at(9, bot_lives()),
        at(20, boot_guest("sv1")),
    ),
)

FROZEN = Scenario(
    name="frozen",
    title="SIGSTOP of all of keepalived on the MASTER, then SIGCONT",
    timeline=(
        at(0, freeze_keepalived("sv1")),
        at(6, bot_dies()),
        at(11, bot_lives()),
        at(20, thaw_keepalived("sv1")),
    ),
)

VRRP_BLOCKED = Scenario(
    name="vrrp_blocked",
    title="VRRP is blocked both ways for 10 s: a true split brain, and healed",
    timeline=(
        at(0, together(block_vrrp("sv1"), block_vrrp("sv2"))),
        at(5, bot_dies()),
        at(9, bot_lives()),
        at(10, together(unblock_vrrp("sv1"), unblock_vrrp("sv2"))),
    ),
)

LINK_DOWN = Scenario(
    name="link_down",
    title="the MASTER's link goes down and comes up",
    timeline=(
        at(0, unplug("sv1")),
        at(5, bot_dies()),
        at(10, bot_lives()),
        at(20, plug_in("sv1")),
    ),
)

INTERFACE_DOWN = Scenario(
    name="interface_down",
    title="the MASTER's own bridge goes down for 15 s: keepalived sees that, and says FAULT",
    timeline=(
        at(0, interface_down("sv1", 15)),
        at(5, bot_dies()),
        at(10, bot_lives()),
    ),
)

VIP_DELETED = Scenario(
    name="vip_deleted",
    title="the VIP is deleted by hand under a running keepalived",
    timeline=(
        at(0, delete_vip("sv1")),
        at(1, bot_dies()),
        at(5, bot_lives()),
    ),
)

TABLE_CLEARED = Scenario(
    name="table_cleared",
    title="ipvsadm -C by hand on the MASTER; a restart of keepalived heals it",
    timeline=(
        at(0, clear_table("sv1")),
        at(5, bot_dies()),
        at(10, bot_lives()),
        at(20, restart_keepalived("sv1")),
    ),
)

VRRP_CHILD_KILLED = Scenario(
    name="vrrp_child_killed",
    title="kill -9 of keepalived's VRRP process on the MASTER",
    timeline=(
        at(0, kill_vrrp_process("sv1")),
        at(2, bot_dies()),
        at(6, bot_lives()),
    ),
)

VRRP_CHILD_FROZEN = Scenario(
    name="vrrp_child_frozen",
    title="SIGSTOP of keepalived's VRRP process on the MASTER, then SIGCONT",
    timeline=(
        at(0, freeze_vrrp_process("sv1")),
        at(6, bot_dies()),
        at(11, bot_lives()),
        at(20, thaw_keepalived("sv1")),
    ),
)

CHECKER_KILLED = Scenario(
    name="checker_killed",
    title="kill -9 of keepalived's health checker on the MASTER",
    timeline=(
        at(0, kill_checker("sv1")),
        at(2, bot_dies()),
        at(6, bot_lives()),
    ),
)

CHECKER_FROZEN = Scenario(
    name="checker_frozen",
    title="the MASTER's health checker is frozen and web2 dies meanwhile; both come back",
    timeline=(
        at(0, freeze_checker("sv1")),
        at(2, stop_web("web2")),
        at(10, bot_dies()),
        at(15, bot_lives()),
        at(40, start_web("web2")),
        at(50, thaw_keepalived("sv1")),
    ),
)

PAUSED = Scenario(
    name="paused",
    title="the MASTER's guest is paused for 10 s",
    timeline=(
        at(0, pause_guest("sv1")),
        at(4, bot_dies()),
        at(8, bot_lives()),
        at(10, resume_guest("sv1")),
    ),
)

WEB1_DOWN = Scenario(
    name="web1_down",
    title="web1's web server is stopped and started",
    timeline=(
        at(0, stop_web("web1")),
        at(6, bot_dies()),
        at(11, bot_lives()),
        at(20, start_web("web1")),
    ),
)

ALL_DOWN = Scenario(
    name="all_down",
    title="every real server of every service is down, and up",
    timeline=(
        at(0, together(stop_everything("web1"), stop_everything("web2"))),
        at(6, bot_dies()),
        at(11, bot_lives()),
        at(30, together(start_everything("web1"), start_everything("web2"))),
    ),
)

FLAPPING = Scenario(
    name="flapping",
    title="web1 comes and goes for two minutes",
    timeline=(
        *chain.from_iterable(
            (at(start, stop_web("web1")), at(start + 8, start_web("web1"))) for start in range(0, 128, 16)
        ),
    ),
)

RELOAD = Scenario(
    name="reload",
    title="keepalived is reloaded on both directors",
    timeline=(
        at(0, reload_keepalived("sv1")),
        at(2, bot_dies()),
        at(6, bot_lives()),
        at(8, reload_keepalived("sv2")),
    ),
)

RESTART = Scenario(
    name="restart",
    title="keepalived is restarted on the MASTER",
    timeline=(
        at(0, restart_keepalived("sv1")),
        at(1, bot_dies()),
        at(5, bot_lives()),
    ),
)

REBOOT = Scenario(
    name="reboot",
    title="the MASTER is rebooted, and takes the address back",
    timeline=(at(0, reboot_guest("sv1")),),
)

SLACK_AWAY = Scenario(
    name="slack_away",
    title="Slack is away for 60 s in the middle of a failover",
    timeline=(
        at(0, stop_keepalived("sv1")),
        at(0, slack_away()),
        at(20, bot_dies()),
        at(25, bot_lives()),
        at(60, slack_back()),
        at(65, start_keepalived("sv1")),
    ),
)

WEBHOOK_AWAY = Scenario(
    name="webhook_away",
    title="the webhook is away for 60 s in the middle of a failover: the agents keep what they have",
    timeline=(
        at(0, webhook_away()),
        at(1, stop_keepalived("sv1")),
        at(20, bot_dies()),
        at(25, bot_lives()),
        at(60, webhook_back()),
        at(75, start_keepalived("sv1")),
    ),
)

BOTH_LOST = Scenario(
    name="both_lost",
    title="both directors lose power, and come back",
    timeline=(
        at(0, together(kill_guest("sv1"), kill_guest("sv2"))),
        at(6, bot_dies()),
        at(11, bot_lives()),
        at(25, together(boot_guest("sv1"), boot_guest("sv2"))),
    ),
)

EVERY = (
    CLEAN_STOP,
    KEEPALIVED_KILLED,
    GUEST_KILLED,
    FROZEN,
    VRRP_BLOCKED,
    LINK_DOWN,
    INTERFACE_DOWN,
    VIP_DELETED,
    TABLE_CLEARED,
    VRRP_CHILD_KILLED,
    VRRP_CHILD_FROZEN,
    CHECKER_KILLED,
    CHECKER_FROZEN,
    PAUSED,
    WEB1_DOWN,
    ALL_DOWN,
    FLAPPING,
    RELOAD,
    RESTART,
    REBOOT,
    SLACK_AWAY,
    WEBHOOK_AWAY,
    BOTH_LOST,
)
BY_NAME = {scenario.name: scenario for scenario in EVERY}

"""Every scenario: what is done when, what is to be seen between, and what must have been told at the end."""

from __future__ import annotations

from bot.domain.events import VrrpState
from bot.domain.incidents import Kind
from tests.lab.scenarios.acts import (
    block_vrrp,
    boot_guest,
    bot_dies,
    bot_lives,
    clear_table,
    delete_vip,
    delete_vip_and_dawdle,
    freeze_checker,
    freeze_keepalived,
    freeze_vrrp_process,
    interface_down,
    kill_checker,
    kill_guest,
    kill_keepalived,
    kill_vrrp_process,
    nothing,
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
from tests.lab.scenarios.timeline import (
    Scenario,
    Story,
    all_show,
    at,
    between,
    heard,
    held_by,
    never_says,
    shows,
    silence,
    then,
)

OFTEN = "5s"  # what nothing speaks of is found by looking
AS_IT_COMES = "30s"  # where there is time, directors need not be asked more often than the settings say

RED, AMBER, GREEN = ":red_circle:", ":large_yellow_circle:", ":large_green_circle:"


def returned(*shows: str, outage: bool = False, least: float = 0.0) -> Story:
    """A failover that ended with sv1 as MASTER again."""
    text = f"{GREEN} VI_1: sv1 is MASTER again"
    return Story(kind=Kind.FAILOVER, subject="VI_1", text=text, shows=shows, outage=outage, least=least)


def moved(why: str) -> str:
    """What the message of a failover from sv1 says when it is over."""
    return f"MASTER had moved sv1 → sv2 ({why})"


def failed_over(why: str) -> str:
    """What the message of a failover from sv1 says as long as it lasts."""
    return f"VI_1 failed over: sv1 → sv2 ({why})"


STOPPED = "planned: keepalived was stopped on sv1"
CLEAN_STOP = Scenario(
    name="clean_stop",
    title="keepalived is stopped on the MASTER and started again",
    timeline=(
        at(0, stop_keepalived("sv1")),
        at(2, bot_dies()),
        between(0, 20, shows(failed_over(STOPPED))),
        between(0, 10, heard("sv1", VrrpState.STOP)),
        between(0, 10, held_by("sv2")),
        at(6, bot_lives()),
        # A stop on a slow lab takes seconds, and what is there again six seconds after its STOP was restarted.
        at(14, start_keepalived("sv1")),
        between(0, 40, held_by("sv1")),
    ),
    stories=(returned(moved(STOPPED)),),
)

FAILED = "unplanned: keepalived failed on sv1"
KEEPALIVED_KILLED = Scenario(
    name="keepalived_killed",
    title="kill -9 of keepalived on the MASTER; it is started again",
    timeline=(
        at(0, kill_keepalived("sv1")),
        at(2, bot_dies()),
        between(0, 20, shows(failed_over(FAILED))),
        at(6, bot_lives()),
        at(8, start_keepalived("sv1")),
    ),
    stories=(returned(moved(FAILED)),),
)

DIED = "unplanned: sv1 does not answer"
HAD_DIED = "unplanned: sv1 did not answer"
GUEST_KILLED = Scenario(
    name="guest_killed",
    title="kill -9 of the MASTER's guest, with web1 inside; it is switched on again",
    timeline=(
        at(0, kill_guest("sv1")),
        at(4, bot_dies()),
        between(0, 40, shows(failed_over(DIED))),
        at(9, bot_lives()),
        between(0, 40, shows("web1 went with it: inside sv1")),
        between(0, 20, shows("VIP unreachable for")),
        at(15, boot_guest("sv1")),
        between(0, 1, never_says("split brain")),
    ),
    # A silent death costs at least a second of advertisements that do not come.
    stories=(returned(moved(HAD_DIED), "web1 went with it: inside sv1", outage=True, least=1.0),),
    within=90,
)

FROZEN = Scenario(
    name="frozen",
    title="SIGSTOP of all of keepalived on the MASTER, then SIGCONT",
    timeline=(
        at(0, freeze_keepalived("sv1")),
        between(0, 25, all_show("VI_1: split brain — sv1 and sv2 hold the address")),
        between(0, 15, all_show("frozen")),
        then(0, bot_dies()),
        then(3, bot_lives()),
        then(4, thaw_keepalived("sv1")),
    ),
    stories=(
        Story(
            kind=Kind.SPLIT_BRAIN,
            subject="VI_1",
            text=f"{GREEN} VI_1: split brain is over, one director holds the address",
            shows=("frozen",),
        ),
    ),
)

VRRP_BLOCKED = Scenario(
    name="vrrp_blocked",
    title="VRRP is blocked both ways for 10 s: a true split brain, and healed",
    timeline=(
        at(0, together(block_vrrp("sv1"), block_vrrp("sv2"))),
        between(0, 15, all_show("VI_1: split brain — sv1 and sv2 hold the address")),
        then(0, bot_dies()),
        then(3, bot_lives()),
        at(10, together(unblock_vrrp("sv1"), unblock_vrrp("sv2"))),
    ),
    stories=(
        Story(
            kind=Kind.SPLIT_BRAIN,
            subject="VI_1",
            text=f"{GREEN} VI_1: split brain is over, one director holds the address",
        ),
    ),
)

CUT_OFF = "unplanned: sv1 was cut off; it did not reboot"
LINK_DOWN = Scenario(
    name="link_down",
    title="the MASTER's link goes down and comes up; its keepalived does not see that",
    timeline=(
        at(0, unplug("sv1")),
        at(5, bot_dies()),
        at(10, bot_lives()),
        between(0, 30, shows(failed_over(DIED))),
        at(15, plug_in("sv1")),
    ),
    stories=(returned(moved(CUT_OFF), outage=True),),
)

FAULT = "unplanned: sv1 reported FAULT"
INTERFACE_DOWN = Scenario(
    name="interface_down",
    title="the MASTER's own bridge goes down for 12 s: keepalived sees that, and says FAULT",
    timeline=(
        at(0, interface_down("sv1", 12)),
        at(5, bot_dies()),
        at(10, bot_lives()),
    ),
    stories=(returned(moved(FAULT)),),
)

REMOVED = Story(
    kind=Kind.VIP_REMOVED,
    subject="VI_1",
    text=f"{GREEN} VI_1: the address was removed by hand, and keepalived put it back at once",
)
VIP_DELETED = Scenario(
    name="vip_deleted",
    title="the VIP is deleted by hand under a running keepalived",
    timeline=(
        at(0, delete_vip("sv1")),
        at(1, bot_dies()),
        at(5, bot_lives()),
    ),
    stories=(REMOVED,),
)

VIP_TAKEN = Scenario(
    name="vip_taken",
    title="the VIP is deleted by hand, and the other director has it before keepalived puts it back",
    timeline=(
        at(0, delete_vip_and_dawdle("sv1")),
        between(0, 10, heard("sv2", VrrpState.MASTER)),
        then(0, bot_dies()),
        then(4, bot_lives()),
    ),
    stories=(REMOVED,),
)

TABLE_CLEARED = Scenario(
    name="table_cleared",
    title="ipvsadm -C by hand on the MASTER; a restart of keepalived heals it",
    timeline=(
        at(0, clear_table("sv1")),
        at(3, bot_dies()),
        at(7, bot_lives()),
        between(0, 30, all_show("The IPVS table on sv1")),
        at(14, restart_keepalived("sv1")),
    ),
    stories=(
        Story(
            kind=Kind.TABLE_REMOVED, subject="sv1", text=f"{GREEN} The IPVS table on sv1 is complete again", outage=True
        ),
    ),
    roll_call=OFTEN,
)

VRRP_CHILD_KILLED = Scenario(
    name="vrrp_child_killed",
    title="kill -9 of keepalived's VRRP process on the MASTER",
    timeline=(
        at(0, kill_vrrp_process("sv1")),
        at(2, bot_dies()),
        at(6, bot_lives()),
    ),
    stories=(returned(moved("unplanned: keepalived's VRRP process died on sv1 and was started again"), outage=True),),
)

VRRP_CHILD_FROZEN = Scenario(
    name="vrrp_child_frozen",
    title="SIGSTOP of keepalived's VRRP process on the MASTER, then SIGCONT",
    timeline=(
        at(0, freeze_vrrp_process("sv1")),
        between(0, 25, all_show("VI_1: split brain — sv1 and sv2 hold the address")),
        between(0, 15, all_show("frozen")),
        then(0, bot_dies()),
        then(3, bot_lives()),
        then(4, thaw_keepalived("sv1")),
    ),
    stories=FROZEN.stories,
)

CHECKER_KILLED = Scenario(
    name="checker_killed",
    title="kill -9 of keepalived's health checker on the MASTER: it is started again at once",
    timeline=(
        at(0, kill_checker("sv1")),
        at(2, bot_dies()),
        at(6, bot_lives()),
    ),
    stories=(
        Story(
            kind=Kind.CHECKER_STOPPED,
            subject="sv1",
            text=f"{GREEN} keepalived's health checker on sv1 works again",
            shows=("its health checker died and was started again",),
        ),
    ),
    roll_call=OFTEN,
)

CHECKER_FROZEN = Scenario(
    name="checker_frozen",
    title="the MASTER's health checker is frozen and web2 dies meanwhile; both come back",
    timeline=(
        at(0, freeze_checker("sv1")),
        at(1, stop_web("web2")),
        at(8, bot_dies()),
        at(13, bot_lives()),
        between(0, 60, shows("health checker")),
        between(0, 20, shows("web2")),
        then(5, start_web("web2")),
        then(5, thaw_keepalived("sv1")),
    ),
    stories=(
        Story(
            kind=Kind.CHECKER_STOPPED,
            subject="sv1",
            text=f"{GREEN} keepalived's health checker on sv1 works again",
            shows=("web2 went with it",),
        ),
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
    stories=(returned(moved("unplanned: sv1 stood still; it did not reboot, and its clock fell behind")),),
)

WEB1_DOWN = Scenario(
    name="web1_down",
    title="web1's web server is stopped and started",
    timeline=(
        at(0, stop_web("web1")),
        at(6, bot_dies()),
        at(11, bot_lives()),
        between(0, 30, shows("web1 is down")),
        at(14, start_web("web1")),
    ),
    stories=(
        Story(
            kind=Kind.REAL_SERVER_DOWN,
            subject="web1",
            text=f"{GREEN} web1 is up again",
            shows=(
                "was: http: connecting: connection refused",
                "was: keepalived on sv1 took it out of http",
                "was: keepalived on sv2 took it out of http",
            ),
        ),
    ),
)

ALL_DOWN = Scenario(
    name="all_down",
    title="every real server of every service is down, and up",
    timeline=(
        at(0, together(stop_everything("web1"), stop_everything("web2"))),
        at(6, bot_dies()),
        at(11, bot_lives()),
        between(0, 40, shows("dns-tcp, dns-udp and http have no healthy real server")),
        at(14, together(start_everything("web1"), start_everything("web2"))),
    ),
    stories=(
        Story(
            kind=Kind.SERVICE_DOWN,
            subject="dns-tcp",
            text=f"{GREEN} dns-tcp, dns-udp and http have healthy real servers again",
            shows=("web1 and web2",),
            outage=True,
        ),
    ),
)

FLAPPING = Scenario(
    name="flapping",
    title="web1 comes and goes, each time for long enough that keepalived sees it too",
    patient=True,
    timeline=(
        at(0, stop_web("web1")),
        at(8, start_web("web1")),
        at(18, stop_web("web1")),
        at(26, start_web("web1")),
        at(36, stop_web("web1")),
        at(39, bot_dies()),
        at(44, start_web("web1")),
        at(45, bot_lives()),
        at(54, stop_web("web1")),
        at(62, start_web("web1")),
        at(72, stop_web("web1")),
        at(80, start_web("web1")),
        at(90, stop_web("web1")),
        at(98, start_web("web1")),
        at(108, stop_web("web1")),
        at(116, start_web("web1")),
        between(0, 60, shows("flapping: ")),
    ),
    stories=(
        Story(
            kind=Kind.REAL_SERVER_DOWN,
            subject="web1",
            text=f"{AMBER} web1 is … — flapping: … changes in …",
            open=True,
        ),
    ),
    roll_call=AS_IT_COMES,
)

RELOAD = Scenario(
    name="reload",
    title="keepalived is reloaded on both directors",
    timeline=(
        at(0, reload_keepalived("sv1")),
        at(1, bot_dies()),
        at(5, bot_lives()),
        at(6, reload_keepalived("sv2")),
        at(12, nothing()),
        between(0, 1, silence()),
    ),
    stories=(),
)

RESTARTED = "planned: keepalived was restarted on sv1"
RESTART = Scenario(
    name="restart",
    title="keepalived is restarted on the MASTER",
    timeline=(
        at(0, restart_keepalived("sv1")),
        at(1, bot_dies()),
        at(5, bot_lives()),
    ),
    stories=(returned(moved(RESTARTED)),),
)

REBOOT = Scenario(
    name="reboot",
    title="the MASTER is rebooted, and takes the address back",
    timeline=(
        at(0, reboot_guest("sv1")),
        at(6, bot_dies()),
        at(11, bot_lives()),
    ),
    stories=(returned(moved("planned: sv1 was rebooted")),),
    within=90,
)

SLACK_AWAY = Scenario(
    name="slack_away",
    title="Slack is away for 60 s in the middle of a failover",
    patient=True,
    timeline=(
        at(0, stop_keepalived("sv1")),
        at(0, slack_away()),
        at(20, bot_dies()),
        at(25, bot_lives()),
        at(60, slack_back()),
        between(0, 30, shows(failed_over(STOPPED))),
        at(62, start_keepalived("sv1")),
    ),
    stories=(
        returned(moved(STOPPED)),
        Story(
            kind=Kind.BOT_BLIND,
            subject="Slack",
            text=f"{GREEN} Slack was away and is back: what could not be said then has been said by now",
        ),
    ),
    roll_call=AS_IT_COMES,
)

WEBHOOK_AWAY = Scenario(
    name="webhook_away",
    title="the webhook is away for 60 s, and the MASTER moves meanwhile: the agents keep what they have",
    patient=True,
    timeline=(
        at(0, webhook_away()),
        between(0, 40, all_show("No events arrive")),
        at(25, stop_keepalived("sv1")),
        then(3, bot_dies()),
        then(4, bot_lives()),
        between(0, 40, all_show(failed_over(STOPPED))),
        at(60, webhook_back()),
        at(66, start_keepalived("sv1")),
    ),
    stories=(
        returned(moved(STOPPED)),
        Story(kind=Kind.AGENT_SILENT, subject="sv1", text=f"{GREEN} Events arrive again"),
    ),
    roll_call=AS_IT_COMES,
)

BOTH_LOST = Scenario(
    name="both_lost",
    title="both directors lose power, and come back",
    timeline=(
        at(0, together(kill_guest("sv1"), kill_guest("sv2"))),
        at(6, bot_dies()),
        at(11, bot_lives()),
        between(0, 40, shows("site: no director answers")),
        at(16, together(boot_guest("sv1"), boot_guest("sv2"))),
    ),
    stories=(
        Story(
            kind=Kind.DIRECTORS_LOST,
            subject="site",
            text=f"{GREEN} site: the directors answer again",
            outage=True,
        ),
    ),
    within=120,
)

# --- two things, one after the other --------------------------------------------------------------------------------

REMOVED_THEN_LOST = Scenario(
    name="removed_then_lost",
    title="the VIP is deleted by hand, and soon after that the plug is pulled",
    timeline=(
        at(0, delete_vip("sv1")),
        between(0, 20, shows("the address was removed by hand, and keepalived put it back at once")),
        then(4, kill_guest("sv1")),
        then(4, bot_dies()),
        then(5, bot_lives()),
        between(0, 40, shows(failed_over(DIED))),
        then(1, boot_guest("sv1")),
    ),
    stories=(
        REMOVED,
        returned(moved(HAD_DIED), "web1 went with it: inside sv1", outage=True, least=1.0),
    ),
    within=90,
)

BOTH_STOPPED = Scenario(
    name="both_stopped",
    title="keepalived is stopped on the standby, and a while later on the MASTER",
    timeline=(
        at(0, stop_keepalived("sv2")),
        between(0, 30, all_show("keepalived on sv2 is inactive")),
        then(16, stop_keepalived("sv1")),
        between(0, 20, all_show("keepalived on sv1 is inactive")),
        then(0, bot_dies()),
        then(4, bot_lives()),
        then(4, start_keepalived("sv1")),
        between(0, 30, held_by("sv1")),
        then(2, start_keepalived("sv2")),
    ),
    stories=(
        Story(kind=Kind.KEEPALIVED_STOPPED, subject="sv2", text=f"{GREEN} keepalived on sv2 runs again"),
        Story(
            kind=Kind.KEEPALIVED_STOPPED,
            subject="sv1",
            text=f"{GREEN} keepalived on sv1 runs again",
            shows=("was: the address of VI_1 is held by no director",),
            outage=True,
            least=4.0,
        ),
    ),
)

MOVED_THEN_DOWN = Scenario(
    name="moved_then_down",
    title="keepalived is stopped on the MASTER, and soon after that the real servers of http die one by one",
    timeline=(
        at(0, stop_keepalived("sv1")),
        between(0, 20, all_show(failed_over(STOPPED))),
        then(8, stop_web("web1")),
        then(4, stop_web("web2")),
        between(0, 40, all_show("http has no healthy real server")),
        then(0, bot_dies()),
        then(4, bot_lives()),
        then(2, together(start_web("web1"), start_web("web2"))),
        between(0, 40, shows("http has healthy real servers again")),
        then(0, start_keepalived("sv1")),
    ),
    stories=(
        returned(moved(STOPPED)),
        Story(
            kind=Kind.SERVICE_DOWN,
            subject="http",
            text=f"{GREEN} http has healthy real servers again",
            shows=("web1 and web2 were down",),
            outage=True,
        ),
    ),
)

# Those that mostly wait come first: what needs no lab runs beside them.
EVERY = (
    SLACK_AWAY,
    WEBHOOK_AWAY,
    FLAPPING,
    CLEAN_STOP,
    KEEPALIVED_KILLED,
    GUEST_KILLED,
    FROZEN,
    VRRP_BLOCKED,
    LINK_DOWN,
    INTERFACE_DOWN,
    VIP_DELETED,
    VIP_TAKEN,
    TABLE_CLEARED,
    VRRP_CHILD_KILLED,
    VRRP_CHILD_FROZEN,
    CHECKER_KILLED,
    CHECKER_FROZEN,
    PAUSED,
    WEB1_DOWN,
    ALL_DOWN,
    RELOAD,
    RESTART,
    REBOOT,
    BOTH_LOST,
    REMOVED_THEN_LOST,
    BOTH_STOPPED,
    MOVED_THEN_DOWN,
)
BY_NAME = {scenario.name: scenario for scenario in EVERY}

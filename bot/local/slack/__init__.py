"""The Slack stand-in: the Web API, Socket Mode, HTTP mode and a chat page, on 127.0.0.1."""

from bot.local.slack.changes import Change
from bot.local.slack.config import ChannelSetup, Config, Deadlines, Person, SlashCommand, UserGroup
from bot.local.slack.delivery import Ack, Delivered, Kind, Outcome
from bot.local.slack.faults import Fault, FaultKind
from bot.local.slack.panel import Panel, PanelItem
from bot.local.slack.standin import StandIn
from bot.local.slack.wire import SlackError
from bot.local.slack.world import ApiCall

__all__ = [
    "Ack",
    "ApiCall",
    "Change",
    "ChannelSetup",
    "Config",
    "Deadlines",
    "Delivered",
    "Fault",
    "FaultKind",
    "Kind",
    "Outcome",
    "Panel",
    "PanelItem",
    "Person",
    "SlackError",
    "SlashCommand",
    "StandIn",
    "UserGroup",
]

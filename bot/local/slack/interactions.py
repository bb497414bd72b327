"""What people do in Slack, and what Slack makes of the app's answer to it."""

from __future__ import annotations

import secrets
from typing import Any

from bot.local.slack.blocks import find_element
from bot.local.slack.changes import Change
from bot.local.slack.delivery import Ack, Delivery, Kind
from bot.local.slack.methods.chat import content_of
from bot.local.slack.modals import Open
from bot.local.slack.triggers import ResponseUrl
from bot.local.slack.values import missing, state_of, value_of
from bot.local.slack.wire import Args, Json, SlackError
from bot.local.slack.workspace import Channel
from bot.local.slack.world import World

TROUBLE = "We had some trouble connecting. Try again?"
NO_COMMAND = (
    "{} is not a valid command. In Slack, all messages that start with the “/” character are interpreted as commands."
)


class Interactions:
    """People acting on the workspace."""

    def __init__(self, world: World, delivery: Delivery) -> None:
        self._world = world
        self._workspace = world.workspace
        self._delivery = delivery
        world.on_message = self.message_event

    # --- slash commands ---

    async def command(self, user: str, channel_id: str, text: str) -> Ack | None:
        """Type a slash command. None if Slack knows no such command; the person is told what went wrong."""
        channel = self._entered(user, channel_id)
        name, _, rest = text.strip().partition(" ")
        if name not in {c.command for c in self._world.config.commands}:
            self._workspace.notice(user, channel.id, NO_COMMAND.format(name))
            return None
        url = self._world.triggers.new_url(user, channel.id)
        payload = {
            "token": self._world.config.verification_token,
            "team_id": self._world.config.team_id,
            "team_domain": self._world.config.domain,
            "channel_id": channel.id,
            "channel_name": "directmessage" if channel.is_im else channel.name,
            "user_id": user,
            "user_name": self._workspace.person(user).name,
            "command": name,
            "text": rest.strip(),
            "api_app_id": self._world.config.app_id,
            "is_enterprise_install": "false",
            "response_url": self._url(url),
            "trigger_id": self._world.triggers.new_trigger(user),
        }
        ack = await self._delivery.deliver(Kind.COMMAND, payload)
        error = None if ack.ok else ack.outcome.value
        if ack.payload:
            try:
                if ack.payload.get("response_type") == "in_channel":
                    self._workspace.post(channel, {"text": text.strip()}, user=user)
                self.respond(url, ack.payload)
            except SlackError as refused:
                error = str(refused)
        if error:
            self._workspace.notice(user, channel.id, f'{name} failed with the error "{error}"')
        return ack

    # --- buttons, menus, inputs ---

    async def act(self, user: str, channel_id: str, ts: str, action_id: str, **how: Any) -> Ack:
        """Work the element *action_id* of the message at *ts*; *how* is block_id, given and state (see ``_action``)."""
        channel = self._entered(user, channel_id)
        ephemeral = self._workspace.ephemerals.get(ts)
        if ephemeral is not None and ephemeral.user != user:
            raise SlackError("message_not_found")
        message = ephemeral.message if ephemeral else channel.message(ts)
        blocks = [*message.get("blocks", []), *(b for a in message.get("attachments", []) for b in a.get("blocks", []))]
        url = self._world.triggers.new_url(user, channel.id, original_ts=ts, ephemeral=ephemeral is not None)
        payload = self._actor("block_actions", user) | {
            "container": {
                "type": "message", "message_ts": ts, "channel_id": channel.id, "is_ephemeral": ephemeral is not None,
            },
            "channel": {"id": channel.id, "name": "directmessage" if channel.is_im else channel.name},
            "state": state_of(blocks, how.get("state")),
            "response_url": self._url(url),
            "actions": [self._action(blocks, action_id, how.get("block_id"), how.get("given"))],
        }  # fmt: skip
        if ephemeral is None:  # Slack does not hand an ephemeral message back to the app.
            payload["message"] = {k: v for k, v in message.items() if k != "metadata"}
        return await self._interact(user, channel.id, payload)

    async def act_in_view(self, user: str, view_id: str, action_id: str, **how: Any) -> Ack:
        """Work the element *action_id* of an open modal or of the person's App Home."""
        home = self._world.modals.homes.get(user)
        view = home if home and home["id"] == view_id else self._opened(user, view_id).view
        view["state"] = state_of(view["blocks"], how.get("state"))
        payload = self._actor("block_actions", user) | {
            "container": {"type": "view", "view_id": view_id},
            "view": view,
            "actions": [self._action(view["blocks"], action_id, how.get("block_id"), how.get("given"))],
        }
        return await self._interact(user, "", payload)

    def _action(self, blocks: list[Json], action_id: str, block_id: str | None, given: Any) -> Json:
        found = find_element(blocks, action_id, block_id)
        if found is None:
            raise SlackError("action_not_found", f"no element has the action_id {action_id!r}")
        block, element = found
        ids = {"action_id": element["action_id"], "block_id": block["block_id"]}
        return {**ids, **value_of(element, given), "action_ts": self._workspace.new_ts()}

    async def _interact(self, user: str, channel_id: str, payload: Json) -> Ack:
        ack = await self._delivery.deliver(Kind.INTERACTIVE, payload)
        if not ack.ok:
            self._workspace.notice(user, channel_id, f'The app did not respond: "{ack.outcome.value}"')
        return ack

    # --- modals ---

    async def submit(self, user: str, view_id: str, state: Any) -> Ack | None:
        """Submit a modal; None if Slack itself refused since a required input was empty."""
        opened = self._opened(user, view_id)
        view = opened.view
        view["state"] = state_of(view["blocks"], state)
        if errors := missing(view["blocks"], view["state"]):
            self._world.modals.complain(opened, errors)
            return None
        payload = self._actor("view_submission", user) | {"view": view, "response_urls": []}
        ack = await self._delivery.deliver(Kind.INTERACTIVE, payload)
        if not ack.ok:
            self._world.modals.complain(opened, {"*": TROUBLE})
        elif view_id in self._world.modals.opened:
            try:
                self._after_submit(opened, ack.payload)
            except SlackError as refused:
                self._world.modals.complain(opened, {"*": f"{TROUBLE} ({refused})"})
        return ack

    def _after_submit(self, opened: Open, answer: Json) -> None:
        modals = self._world.modals
        match answer.get("response_action"):
            case None:
                modals.close(opened.view["id"])
            case "clear":
                modals.clear(opened.user)
            case "errors":
                known = {block["block_id"] for block in opened.view["blocks"] if block["type"] == "input"}
                errors = answer.get("errors") or {}
                if not errors or set(errors) - known:
                    raise SlackError("invalid_errors", f"not the block_id of an input: {sorted(set(errors) - known)}")
                modals.complain(opened, errors)
            case "update":
                modals.update(opened, answer.get("view") or {})
            case "push":
                modals.push(opened.user, answer.get("view") or {})
            case unknown:
                raise SlackError("invalid_response_action", str(unknown))

    async def close_view(self, user: str, view_id: str) -> None:
        """Close a modal with its close button; the app hears of it if it asked to."""
        opened = self._opened(user, view_id)
        cleared = opened.view["clear_on_close"]
        if cleared:
            self._world.modals.clear(user)
        else:
            self._world.modals.close(view_id)
        if opened.view["notify_on_close"]:
            payload = self._actor("view_closed", user) | {"view": opened.view, "is_cleared": cleared}
            await self._delivery.deliver(Kind.INTERACTIVE, payload)

    def _opened(self, user: str, view_id: str) -> Open:
        opened = self._world.modals.find(view_id)
        if opened.user != user:
            raise SlackError("not_found")
        return opened

    # --- messages and events ---

    def say(self, user: str, channel_id: str, text: str, thread_ts: str | None = None) -> Json:
        """Write a message; the app hears of it as far as it subscribed."""
        channel = self._entered(user, channel_id)
        if not text.strip():
            raise SlackError("no_text")
        config = self._world.config
        text = text.replace(f"@{config.bot_name}", f"<@{config.bot_user_id}>")
        message = self._workspace.post(channel, {"text": text}, user=user, thread_ts=thread_ts)
        self.message_event(channel.id, message)
        return message

    def message_event(self, channel_id: str, message: Json) -> None:
        """Tell the app of a message, as ``message`` and as ``app_mention``, if it subscribed and is in the channel."""
        config, channel = self._world.config, self._workspace.channels[channel_id]
        if config.bot_user_id not in channel.members:
            return
        kind = "im" if channel.is_im else "channel"
        event = {k: v for k, v in message.items() if k != "metadata"} | {
            "channel": channel_id,
            "event_ts": message["ts"],
        }
        if f"message.{'im' if channel.is_im else 'channels'}" in config.events:
            self._event(event | {"channel_type": kind})
        mentioned = f"<@{config.bot_user_id}>" in message["text"] and message["user"] != config.bot_user_id
        if mentioned and not channel.is_im and "app_mention" in config.events:
            self._event(event | {"type": "app_mention"})

    def _event(self, event: Json) -> None:
        config = self._world.config
        authorization = {
            "team_id": config.team_id, "user_id": config.bot_user_id, "is_bot": True, "enterprise_id": None,
            "is_enterprise_install": False,
        }  # fmt: skip
        payload = {
            "type": "event_callback", "token": config.verification_token, "team_id": config.team_id,
            "api_app_id": config.app_id, "event": event, "event_id": f"Ev{secrets.token_hex(5).upper()}",
            "event_time": int(self._world.clock()), "authorizations": [authorization],
            "is_ext_shared_channel": False,
        }  # fmt: skip
        self._delivery.publish(payload)

    # --- response URLs ---

    def respond(self, url: ResponseUrl, body: Json) -> None:
        """Carry out what the app sent to a response URL. Raises SlackError as Slack refuses it."""
        channel = self._workspace.channels[url.channel]
        args = Args(values=body)
        if args.flag("delete_original"):
            self._change_original(channel, url, None)
            return
        content = content_of(args)
        if args.flag("replace_original") and url.original_ts:
            self._change_original(channel, url, content)
        elif args.text("response_type", "ephemeral") == "in_channel":
            bot = self._world.config.bot_user_id
            message = self._workspace.post(channel, content, user=bot, thread_ts=args.text("thread_ts") or None)
            self.message_event(channel.id, message)
        else:
            self._workspace.whisper(channel, url.user, content, thread_ts=args.text("thread_ts") or None)

    def _change_original(self, channel: Channel, url: ResponseUrl, content: Json | None) -> None:
        if not url.original_ts:
            raise SlackError("no_original_message")
        if url.ephemeral:
            self._workspace.change_whisper(url.original_ts, content)
        elif content is None:
            self._workspace.delete(channel, url.original_ts)
        else:
            whole = {"text": "", "blocks": [], "attachments": [], **content}
            self._workspace.update(channel, url.original_ts, whole, edited_by=self._world.config.bot_user_id)

    # --- inside ---

    def pending(self, user: str, action: str, *, settled: bool = False) -> None:
        """Tell *user*'s page that *action* is in flight, or no longer."""
        kind = "settled" if settled else "pending"
        self._world.changes.publish(Change(kind=kind, data={"id": action}, to=user))

    def _entered(self, user: str, channel_id: str) -> Channel:
        channel = self._workspace.channel(channel_id, by_name=True)
        if user not in channel.members:
            raise SlackError("not_in_channel")
        return channel

    def _url(self, url: ResponseUrl) -> str:
        return f"{self._world.origin}/respond/{url.token}"

    def _actor(self, kind: str, user: str) -> Json:
        config, person = self._world.config, self._workspace.person(user)
        return {
            "type": kind,
            "user": {"id": user, "username": person.name, "name": person.name, "team_id": config.team_id},
            "team": {"id": config.team_id, "domain": config.domain},
            "enterprise": None,
            "is_enterprise_install": False,
            "api_app_id": config.app_id,
            "token": config.verification_token,
            "trigger_id": self._world.triggers.new_trigger(user),
        }

"""auth.test, api.test, apps.connections.open, users.*, usergroups.* and bots.info: who is who."""

from __future__ import annotations

from bot.local.slack.config import UserGroup
from bot.local.slack.methods.conversations import page
from bot.local.slack.wire import Args, Json, SlackError
from bot.local.slack.world import World


def auth_test(world: World, _: Args) -> Json:
    """https://docs.slack.dev/reference/methods/auth.test"""
    config = world.config
    return {
        "url": f"{world.page_origin}/", "team": config.team_name, "team_id": config.team_id, "user": config.bot_name,
        "user_id": config.bot_user_id, "bot_id": config.bot_id, "is_enterprise_install": False,
    }  # fmt: skip


def api_test(_: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/api.test"""
    sent = {k: v for k, v in args.values.items() if k != "token"}
    if args.text("error"):
        raise SlackError(args.text("error"), args=sent)
    return {"args": sent}


def open_connection(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/apps.connections.open"""
    return {"url": world.new_socket_url(args.origin)}


def info(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/users.info"""
    user = args.required("user")
    if user != world.config.bot_user_id and user not in world.workspace.people:
        raise SlackError("user_not_found")
    return {"user": world.user(user)}


def list_(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/users.list"""
    chosen, metadata = page(world.users(), args)
    return {"members": chosen, "cache_ts": int(world.clock()), **metadata}


def usergroups(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/usergroups.list"""
    with_users = args.flag("include_users")
    return {"usergroups": [_usergroup(world, group, with_users) for group in world.config.usergroups]}


def usergroup_users(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/usergroups.users.list"""
    wanted = args.required("usergroup")
    for group in world.config.usergroups:
        if group.id == wanted:
            return {"users": list(group.members)}
    raise SlackError("no_such_subteam")


def bot_info(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/bots.info"""
    config = world.config
    if args.text("bot", config.bot_id) != config.bot_id:
        raise SlackError("bot_not_found")
    return {
        "bot": {
            "id": config.bot_id, "app_id": config.app_id, "user_id": config.bot_user_id, "name": config.bot_name,
            "deleted": False, "icons": {}, "updated": 0,
        }
    }  # fmt: skip


def _usergroup(world: World, group: UserGroup, with_users: bool) -> Json:
    shown: Json = {
        "id": group.id, "team_id": world.config.team_id, "is_usergroup": True, "name": group.name,
        "handle": group.handle, "description": "", "user_count": len(group.members), "date_delete": 0,
    }  # fmt: skip
    return shown | ({"users": list(group.members)} if with_users else {})

"""views.*: modals and App Home."""

from __future__ import annotations

from bot.local.slack.wire import Args, Json, SlackError
from bot.local.slack.world import World


def open_(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/views.open"""
    view = _view(args)
    trigger = world.triggers.spend(args.required("trigger_id"))
    return {"view": world.modals.open(trigger.user, view)}


def push(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/views.push"""
    view = _view(args)
    trigger = world.triggers.spend(args.required("trigger_id"))
    return {"view": world.modals.push(trigger.user, view)}


def update(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/views.update"""
    view = _view(args)
    opened = world.modals.find(args.text("view_id"), args.text("external_id"))
    return {"view": world.modals.update(opened, view, hash_=args.text("hash"))}


def publish(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/views.publish"""
    user = world.workspace.person(args.required("user_id"))
    return {"view": world.modals.publish(user.id, _view(args))}


def _view(args: Args) -> Json:
    view: Json | None = args.json("view", dict, "invalid_arguments")
    if view is None:
        raise SlackError("invalid_arguments", "missing required field: view")
    return view

"""files.getUploadURLExternal and files.completeUploadExternal: the two ends of an upload."""

from __future__ import annotations

import mimetypes
import secrets
from typing import Any

from bot.local.slack.methods.chat import joined
from bot.local.slack.wire import Args, Json, SlackError
from bot.local.slack.world import UploadedFile, World


def get_upload_url(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/files.getUploadURLExternal"""
    name = args.required("filename")
    args.required("length")
    length = args.number("length", 0, least=1, most=1_000_000_000)
    file = UploadedFile(
        id=f"F{secrets.token_hex(5).upper()}", name=name, length=length, ticket=secrets.token_urlsafe(16)
    )
    world.files[file.id] = file
    return {"upload_url": f"{args.origin}/upload/{file.id}/{file.ticket}", "file_id": file.id}


def complete_upload(world: World, args: Args) -> Json:
    """https://docs.slack.dev/reference/methods/files.completeUploadExternal"""
    listed = args.json("files", list, "invalid_arguments")
    if not listed:
        raise SlackError("invalid_arguments", "missing required field: files")
    files = [_finished(world, entry) for entry in listed]
    shown = [_file_object(file, world.page_origin) for file in files]
    if channel_id := args.text("channel_id") or args.text("channels"):
        channel = joined(world, channel_id)
        content: Json = {"text": args.text("initial_comment"), "files": shown}
        thread_ts = args.text("thread_ts") or None
        if thread_ts and thread_ts not in channel.messages:
            raise SlackError("thread_not_found")
        message = world.workspace.post(channel, content, user=world.config.bot_user_id, thread_ts=thread_ts)
        world.on_message(channel.id, message)
    for file in files:
        file.shared = True
    return {"files": shown}


def _finished(world: World, entry: Any) -> UploadedFile:
    file = world.files.get(entry.get("id", "")) if isinstance(entry, dict) else None
    if file is None or file.content is None or file.shared:
        raise SlackError("file_not_found")
    file.title = str(entry.get("title") or file.name)
    return file


def _file_object(file: UploadedFile, origin: str) -> Json:
    url = f"{origin}/files/{file.id}/{file.name}"
    return {
        "id": file.id, "name": file.name, "title": file.title, "size": file.length,
        "mimetype": mimetypes.guess_type(file.name)[0] or "application/octet-stream",
        "url_private": url, "permalink": url,
    }  # fmt: skip

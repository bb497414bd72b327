"""What the stand-in refuses of Block Kit, and how it says so."""

from __future__ import annotations

import copy
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.models import blocks as sdk

from bot.local.slack.blocks import check_blocks, check_view, find_element, with_ids
from bot.local.slack.limits import LIMITS
from bot.local.slack.wire import SlackError
from tests.local.slack.conftest import REASON, button, modal, section

PLAIN = {"type": "plain_text", "text": "t"}


def faults(*blocks: Any) -> tuple[str, ...]:
    try:
        check_blocks(list(blocks))
    except SlackError as refused:
        assert refused.error == "invalid_blocks"
        return refused.messages
    return ()


def view_faults(view: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(SlackError) as refused:
        check_view(view)
    assert refused.value.error == "invalid_arguments"
    return refused.value.messages


@pytest.mark.parametrize(
    "block",
    [
        section("*web1* is drained"),
        section("x" * 3000),
        {"type": "section", "fields": [PLAIN] * 10},
        section("t", accessory={"type": "image", "image_url": "https://example.com/a.png", "alt_text": ""}),
        {"type": "divider"},
        {"type": "header", "text": {"type": "plain_text", "text": "x" * 150, "emoji": True}},
        {"type": "context", "elements": [{"type": "mrkdwn", "text": "t"}, PLAIN]},
        button(style="danger", confirm={"title": PLAIN, "text": PLAIN, "confirm": PLAIN, "deny": PLAIN}),
        {"type": "table", "rows": [[{"type": "raw_text", "text": "a"}] * 20] * 100},
        {"type": "rich_text", "elements": [{"type": "rich_text_section", "elements": [{"type": "text", "text": "a"}]}]},
        {"type": "markdown", "text": "# a"},
        {"type": "alert", "text": PLAIN, "level": "error"},
        {
            "type": "actions",
            "elements": [{"type": "static_select", "action_id": "s", "options": [{"text": PLAIN, "value": "v"}]}],
        },
    ],
)
def test_what_slack_takes_is_taken(block: dict[str, Any]) -> None:
    assert faults(block) == ()


@pytest.mark.parametrize(
    ("block", "message"),
    [
        (section(""), "must be more than 0 characters [json-pointer:/blocks/0/text/text]"),
        (section("x" * 3001), "must be less than 3001 characters [json-pointer:/blocks/0/text/text]"),
        ({"type": "section"}, "missing required field: text [json-pointer:/blocks/0]"),
        (
            {"type": "section", "text": {"type": "mrkdwn", "text": 3}},
            "must be of type string [json-pointer:/blocks/0/text/text]",
        ),
        (
            {"type": "section", "text": {"type": "mrkdwn", "text": "t", "emoji": True}},
            "invalid additional property: emoji [json-pointer:/blocks/0/text]",
        ),
        (section("t", colour="red"), "invalid additional property: colour [json-pointer:/blocks/0]"),
        ({"type": "section", "fields": [PLAIN] * 11}, "no more than 10 items allowed [json-pointer:/blocks/0/fields]"),
        (
            {"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]},
            "must be less than 2001 characters [json-pointer:/blocks/0/fields/0/text]",
        ),
        ({"type": "sektion"}, "unsupported type: sektion [json-pointer:/blocks/0]"),
        ("text", "failed to match all allowed schemas [json-pointer:/blocks/0]"),
        (
            {"type": "header", "text": {"type": "mrkdwn", "text": "t"}},
            "must be a valid enum value [json-pointer:/blocks/0/text/type]",
        ),
        (
            {"type": "header", "text": {"type": "plain_text", "text": "x" * 151}},
            "must be less than 151 characters [json-pointer:/blocks/0/text/text]",
        ),
        (
            {"type": "context", "elements": [PLAIN] * 11},
            "no more than 10 items allowed [json-pointer:/blocks/0/elements]",
        ),
        ({"type": "context", "elements": []}, "no fewer than 1 items required [json-pointer:/blocks/0/elements]"),
        ({"type": "actions", "elements": []}, "no fewer than 1 items required [json-pointer:/blocks/0/elements]"),
        (
            button(text={"type": "plain_text", "text": "x" * 76}),
            "must be less than 76 characters [json-pointer:/blocks/0/elements/0/text/text]",
        ),
        (button(value="x" * 2001), "must be less than 2001 characters [json-pointer:/blocks/0/elements/0/value]"),
        (button("x" * 256), "must be less than 256 characters [json-pointer:/blocks/0/elements/0/action_id]"),
        (button(style="red"), "must be a valid enum value [json-pointer:/blocks/0/elements/0/style]"),
        (
            button(confirm={"title": {"type": "plain_text", "text": "x" * 101}, "text": PLAIN}),
            "must be less than 101 characters [json-pointer:/blocks/0/elements/0/confirm/title/text]",
        ),
        (
            button(confirm={"title": PLAIN, "text": PLAIN, "deny": {"type": "plain_text", "text": "x" * 31}}),
            "must be less than 31 characters [json-pointer:/blocks/0/elements/0/confirm/deny/text]",
        ),
        (
            {"type": "actions", "elements": [{"type": "overflow", "options": [{"text": PLAIN, "value": "v"}] * 6}]},
            "no more than 5 items allowed [json-pointer:/blocks/0/elements/0/options]",
        ),
        (
            {"type": "table", "rows": [[{"type": "raw_text", "text": "a"}] * 21]},
            "no more than 20 items allowed [json-pointer:/blocks/0/rows/0]",
        ),
        (
            {"type": "table", "rows": [[{"type": "raw_text", "text": "a"}]] * 101},
            "no more than 100 items allowed [json-pointer:/blocks/0/rows]",
        ),
        (
            {"type": "image", "alt_text": "a"},
            "missing required field: image_url [json-pointer:/blocks/0]",
        ),
        (section("t", block_id="x" * 256), "must be less than 256 characters [json-pointer:/blocks/0/block_id]"),
    ],
)
def test_what_slack_refuses_is_refused_with_a_pointer_to_it(block: Any, message: str) -> None:
    assert faults(block) == (message,)


def test_every_block_with_a_fault_is_named() -> None:
    assert [m.split("json-pointer:")[1] for m in faults(section(""), section("fine"), section("x" * 3001))] == [
        "/blocks/0/text/text]",
        "/blocks/2/text/text]",
    ]


def test_more_than_fifty_blocks_are_too_many() -> None:
    assert faults(*[{"type": "divider"}] * 50) == ()
    assert faults(*[{"type": "divider"}] * 51) == ("no more than 50 items allowed [json-pointer:/blocks]",)


def test_a_block_id_may_stand_once_in_a_message_and_an_action_id_once_in_a_block() -> None:
    twice = button("same")
    twice["elements"].append(twice["elements"][0])
    assert faults(section("a", block_id="b"), section("c", block_id="b")) == (
        "`block_id` already exists: b [json-pointer:/blocks]",
    )
    assert faults(twice) == ("`action_id` already exists: same [json-pointer:/blocks/0]",)
    assert faults(button("same"), {**button("same"), "block_id": "other"}) == ()


OPTION = {"text": PLAIN, "value": "v"}
TABLE = {"type": "table", "rows": [[{"type": "raw_text", "text": "a"}]]}


def test_a_menu_offers_options_and_starts_with_one_of_them() -> None:
    def menu(**more: Any) -> dict[str, Any]:
        return {"type": "actions", "elements": [{"type": "static_select", "action_id": "s", **more}]}

    assert faults(menu(options=[OPTION], initial_option=OPTION)) == ()
    assert faults(menu(option_groups=[{"label": PLAIN, "options": [OPTION]}], initial_option=OPTION)) == ()
    assert faults(menu()) == ("must provide either options or option_groups [json-pointer:/blocks/0]",)
    assert faults(menu(options=[OPTION], initial_option={**OPTION, "value": "w"})) == (
        "initial_option is not one of the options [json-pointer:/blocks/0]",
    )


def test_a_message_has_one_table_and_so_much_markdown() -> None:
    text = {"type": "markdown", "text": "x" * 6001}
    assert faults(TABLE, TABLE) == ("only_one_table_allowed [json-pointer:/blocks]",)
    assert faults(text) == ()
    assert faults(text, text) == ("markdown blocks must be less than 12001 characters together [json-pointer:/blocks]",)


def test_what_is_for_messages_only_is_refused_in_a_view() -> None:
    assert view_faults(modal(TABLE)) == ("unsupported type: table [json-pointer:/view/blocks/0/type]",)


def test_the_schema_says_whose_it_is() -> None:
    notice = files("bot.local.slack.schema").joinpath("block-kit.json").read_text()[:200]
    assert "@slack/types 3.2.0" in notice and "MIT License Copyright (c) 2014- Slack Technologies, LLC" in notice


def test_what_the_sdk_lets_through_is_still_refused() -> None:
    made = sdk.SectionBlock(fields=["x" * 2001])
    assert faults(made.to_dict()) != ()


@pytest.mark.parametrize("kind", sorted(k for k in LIMITS if k not in ("option", "option_group", "confirm")))
def test_every_limit_is_about_a_type_that_slack_has(kind: str) -> None:
    from bot.local.slack.blocks import _definitions

    def kinds(value: Any) -> set[str]:
        if isinstance(value, list):
            return set().union(*map(kinds, value)) if value else set()
        if not isinstance(value, dict):
            return set()
        here = {value["const"]} if isinstance(value.get("const"), str) else set()
        return here.union(*map(kinds, value.values()))

    assert kind in kinds(_definitions())


@given(st.text(min_size=1, max_size=3000))
def test_any_text_that_is_not_empty_and_not_too_long_is_a_section(text: str) -> None:
    assert faults(section(text)) == ()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "text", "elements"]), inner),
    max_leaves=8,
)


@given(st.lists(json_values, max_size=4))
def test_nonsense_is_refused_and_never_breaks_the_checker(blocks: list[Any]) -> None:
    for message in faults(*blocks):
        assert "[json-pointer:/blocks" in message


@pytest.mark.parametrize(
    ("view", "message"),
    [
        ({"type": "modal", "blocks": []}, "missing required field: title [json-pointer:/view]"),
        ({"type": "dialog"}, "must be a valid enum value [json-pointer:/view/type]"),
        (
            modal(section("t"), title={"type": "plain_text", "text": "x" * 25}),
            "must be less than 25 characters [json-pointer:/view/title/text]",
        ),
        (modal(section("t"), private_metadata="x" * 3001),
         "must be less than 3001 characters [json-pointer:/view/private_metadata]"),
        (modal(section("")), "must be more than 0 characters [json-pointer:/view/blocks/0/text/text]"),
        ({"type": "home"}, "missing required field: blocks [json-pointer:/view]"),
        (modal(*[{"type": "divider"}] * 101), "no more than 100 items allowed [json-pointer:/view/blocks]"),
    ],
)  # fmt: skip
def test_a_view_is_checked_frame_and_blocks(view: dict[str, Any], message: str) -> None:
    assert view_faults(view) == (message,)


def test_a_modal_with_an_input_needs_a_submit_button() -> None:
    view = modal(REASON)
    check_view(view)
    del view["submit"]
    assert view_faults(view) == ("missing required field: submit [json-pointer:/view]",)


def test_ids_that_the_app_left_out_are_made_up_and_the_others_kept() -> None:
    sent = [section("a"), {"type": "actions", "elements": [{"type": "button", "text": PLAIN}]}, button("go")]
    before = copy.deepcopy(sent)
    kept = with_ids(sent, iter(["b1", "b2", "a1"]).__next__)
    assert sent == before
    assert [b["block_id"] for b in kept] == ["b1", "b2", "row"]
    assert kept[1]["elements"][0]["action_id"] == "a1"
    assert find_element(kept, "go") == (kept[2], kept[2]["elements"][0])
    assert find_element(kept, "go", "elsewhere") is None

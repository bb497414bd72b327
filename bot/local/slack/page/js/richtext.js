/** Slack's rich_text block, as DOM (docs.slack.dev, "Rich text block"). */

import { h } from "./dom.js";
import { fromUnicode } from "./emoji.js";
import { emojiNode, link, mention } from "./mrkdwn.js";
import { formatDate, inFull } from "./time.js";

const TAGS = {
  bold: "strong",
  italic: "em",
  strike: "s",
  underline: "u",
  code: "code",
  highlight: "mark",
  client_highlight: "mark",
};

/** The nodes of a rich_text block. */
export function richText(block, people) {
  return (block.elements ?? []).map((element) => part(element, people));
}

function part(element, people) {
  const inner = (element.elements ?? []).flatMap((child) => inline(child, people));
  switch (element.type) {
    case "rich_text_list":
      return list(element, people);
    case "rich_text_quote":
      return h("blockquote", { class: element.border && "bordered" }, inner);
    case "rich_text_preformatted":
      return h("pre", { class: "code-block" }, h("code", {}, inner));
    default:
      return h("p", { class: "rich-section" }, inner);
  }
}

function list(element, people) {
  const items = (element.elements ?? []).map((item) =>
    h(
      "li",
      {},
      (item.elements ?? []).flatMap((child) => inline(child, people)),
    ),
  );
  const indent = Math.min(Number(element.indent ?? 0), 8);
  const ordered = element.style === "ordered";
  const start = ordered && element.offset ? { start: element.offset + 1 } : {};
  return h(
    ordered ? "ol" : "ul",
    { ...start, class: ["rich-list", `indent-${indent}`, element.border && "bordered"] },
    items,
  );
}

function inline(element, people) {
  const content = bare(element, people);
  return Object.entries(TAGS)
    .filter(([style]) => element.style?.[style])
    .reduce((inner, [, tag]) => [h(tag, {}, inner)], [content].flat());
}

function bare(element, people) {
  switch (element.type) {
    case "text":
      return String(element.text ?? "")
        .split("\n")
        .flatMap((row, index) => (index ? [h("br"), row] : [row]));
    case "link":
      return link(String(element.url), element.text);
    case "emoji": {
      const character = fromUnicode(element.unicode);
      return character
        ? h("span", { class: "emoji", role: "img", "aria-label": element.name, title: `:${element.name}:` }, character)
        : emojiNode(String(element.name));
    }
    case "user":
      return mention(`@${people?.user(element.user_id) ?? element.user_id}`, people?.isMe(element.user_id));
    case "channel":
      return mention(`#${people?.channel(element.channel_id) ?? element.channel_id}`);
    case "usergroup":
      return mention("@group");
    case "broadcast":
      return mention(`@${element.range}`);
    case "date":
      return h(
        "time",
        { title: inFull(element.timestamp) },
        formatDate(element.timestamp, String(element.format ?? "{date_num}")),
      );
    case "color":
      return colour(String(element.value));
    default:
      return String(element.fallback ?? element.text ?? `[${element.type}]`);
  }
}

function colour(value) {
  const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.backgroundColor = value;
  return h("span", { class: "colour" }, swatch, value);
}

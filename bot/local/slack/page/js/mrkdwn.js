/** Slack's mrkdwn, as DOM (docs.slack.dev, "Formatting text for app surfaces"). */

import { flat, h } from "./dom.js";
import { emoji } from "./emoji.js";
import { formatDate, inFull } from "./time.js";

const WORD = /[\p{L}\p{N}]/u;
const ENTITIES = { "&amp;": "&", "&lt;": "<", "&gt;": ">" };

/** Text with Slack's three entities turned back into characters. */
export const unescape = (text) => text.replace(/&(?:amp|lt|gt);/g, (entity) => ENTITIES[entity]);

/** Text with Slack's three control characters as entities: what Slack's own composer sends. */
export const escape = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

/** Whether an address may become a link: never javascript:, data: or the like. */
export const isSafe = (url) => /^(https?:\/\/|mailto:|tel:)/i.test(url);

/** A link that opens beside this page, or plain text where the address is not one to follow. */
export function link(url, content) {
  const shown = content ?? url;
  if (!isSafe(url)) return h("span", { title: url }, shown);
  return h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, shown);
}

/** The pill that mentions a person, channel or group. `me` marks the reader's own. */
export const mention = (text, me = false) => h("span", { class: ["mention", me && "mention-me"] }, text);

/** The character for :name:, named for screen readers; unknown ones stay as typed. */
export function emojiNode(name) {
  const character = emoji(name);
  return character
    ? h("span", { class: "emoji", role: "img", "aria-label": name, title: `:${name}:` }, character)
    : `:${name}:`;
}

/** mrkdwn `text` as an array of nodes. `people` names users and channels (see Names in state.js). */
export function mrkdwn(text, people) {
  const parts = String(text ?? "").split(/```\n?([\s\S]*?)\n?```/g);
  // A block stands on lines of its own: the line ends around it are its edges, not empty lines.
  return flat(
    parts.map((part, index) => {
      if (index % 2) return h("pre", { class: "code-block" }, h("code", {}, inline(part, people, [ANGLE])));
      const start = index > 0 ? part.replace(/^\n/, "") : part;
      return lines(index < parts.length - 1 ? start.replace(/\n$/, "") : start, people);
    }),
  );
}

/** Plain text as Slack shows it: line ends and (unless switched off) emoji names mean something, nothing else does. */
export function plain(text, withEmoji = true) {
  return inline(String(text ?? ""), null, withEmoji ? [EMOJI] : []);
}

/** A Block Kit text object as nodes. */
export function textObject(object, people) {
  if (!object) return [];
  return object.type === "mrkdwn" ? mrkdwn(object.text, people) : plain(object.text, object.emoji !== false);
}

const QUOTE = /^(?:&gt;|>) ?/;
const REST = /^(?:&gt;&gt;&gt;|>>>)[ \n]?/;

function lines(text, people) {
  const nodes = [];
  const rows = text.split("\n");
  for (let i = 0; i < rows.length;) {
    if (REST.test(rows[i])) {
      nodes.push(h("blockquote", {}, inline(rows.slice(i).join("\n").replace(REST, ""), people)));
      break;
    }
    const quoted = QUOTE.test(rows[i]);
    const start = i;
    while (i < rows.length && QUOTE.test(rows[i]) === quoted && !(i > start && REST.test(rows[i]))) i++;
    const run = rows.slice(start, i);
    if (quoted) nodes.push(h("blockquote", {}, inline(run.map((row) => row.replace(QUOTE, "")).join("\n"), people)));
    else if (run.length > 1 || run[0] !== "" || rows.length === 1) nodes.push(...inline(run.join("\n"), people));
  }
  return nodes;
}

// Each rule is tried where the scan stands; `word: true` keeps it from starting inside a word (a_name_like_this).
const styled = (mark, tag) => ({
  pattern: new RegExp(`${mark}(?![\\s${mark}])([^\\n]*?[^\\s${mark}])${mark}(?![\\p{L}\\p{N}])`, "uy"),
  word: true,
  make: ([, inner], people) => h(tag, {}, inline(inner, people)),
});
const ANGLE = { pattern: /<([^<>\n]+)>/y, make: ([, inner], people) => angle(inner, people) };
const EMOJI = { pattern: /:([a-z0-9_+'-]+(?:::skin-tone-\d)?):/y, make: ([, name]) => emojiNode(name) };
const RULES = [
  ANGLE,
  { pattern: /`([^`\n]+)`/y, make: ([, inner], people) => h("code", {}, inline(inner, people, [ANGLE])) },
  styled("\\*", "strong"),
  styled("_", "em"),
  styled("~", "s"),
  EMOJI,
  { pattern: /https?:\/\/[^\s<>|]*[^\s<>|.,;:!?)'"\]]/y, word: true, make: ([url]) => link(unescape(url)) },
];

function inline(text, people, rules = RULES) {
  const nodes = [];
  let pending = "";
  const flush = () => {
    if (pending) nodes.push(unescape(pending));
    pending = "";
  };
  for (let at = 0; at < text.length;) {
    const found = text[at] === "\n" ? null : firstMatch(text, at, rules);
    if (text[at] === "\n" || found) flush();
    if (found) {
      nodes.push(found.rule.make(found.match, people));
      at += found.match[0].length;
    } else {
      if (text[at] === "\n") nodes.push(h("br"));
      else pending += text[at];
      at++;
    }
  }
  flush();
  return nodes;
}

function firstMatch(text, at, rules) {
  for (const rule of rules) {
    if (rule.word && at > 0 && WORD.test(text[at - 1])) continue;
    rule.pattern.lastIndex = at;
    const match = rule.pattern.exec(text);
    if (match) return { rule, match };
  }
  return null;
}

/** What stands between angle brackets: a mention, a date, or a link with or without its own words. */
function angle(inner, people) {
  const [target, label] = inner.split(/\|(.*)/s);
  const words = label ? unescape(label) : null;
  switch (target[0]) {
    case "@":
      return mention(`@${people?.user(target.slice(1)) ?? words ?? target.slice(1)}`, people?.isMe(target.slice(1)));
    case "#":
      return mention(`#${people?.channel(target.slice(1)) ?? words ?? target.slice(1)}`);
    case "!":
      return special(target.slice(1), words);
    default:
      return link(unescape(target), words);
  }
}

function special(command, words) {
  const [name, ...rest] = command.split("^");
  const [unix, format, url] = rest;
  if (name === "date" && format && /^-?\d{1,11}$/.test(unix)) {
    const time = h("time", { title: inFull(unix) }, formatDate(unix, format));
    return url ? link(url, time) : time;
  }
  if (name === "subteam") return mention(words ?? "@group");
  return mention(words ?? `@${name}`);
}

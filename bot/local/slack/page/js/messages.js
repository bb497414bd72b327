/** One message, and how it changes without jumping: nodes of what stayed the same stay. */

import { BlockList } from "./blocklist.js";
import { arrange, flat, h, icons } from "./dom.js";
import { emojiNode, isSafe, link, mrkdwn } from "./mrkdwn.js";
import { inFull, timeOf } from "./time.js";

const HUES = 8;

/** The square beside a name: initials, or the bot's mark. */
export function avatar(name, isBot = false) {
  const hue = [...name].reduce((sum, character) => (sum * 31 + character.codePointAt(0)) % 9973, 7) % HUES;
  const initials = name
    .split(/\s+/)
    .map((word) => word[0])
    .join("")
    .slice(0, 2)
    .toUpperCase();
  return h(
    "span",
    { class: ["avatar", isBot ? "avatar-bot" : `hue-${hue}`], "aria-hidden": "true" },
    isBot ? icons.balance() : initials,
  );
}

/** Who a message is from: a name to show and whether that is an app. */
export function authorOf(message, users) {
  const user = users.get(message.user);
  const isBot = Boolean(message.bot_id || user?.is_bot);
  return { name: message.username ?? user?.real_name ?? user?.name ?? message.user ?? "unknown", isBot };
}

export class MessageView {
  /** `desk` is what a message can reach: `people`, `users()`, `act(message, blockId, element, node)`, `openThread(ts)`. */
  constructor(desk, inThread = false) {
    this.desk = desk;
    this.inThread = inThread;
    this.gutter = h("div", { class: "gutter" });
    this.top = h("div", { class: "message-top" });
    this.text = h("div", { class: "text message-text" });
    this.blocks = this.list();
    this.attachments = [];
    this.attached = h("div", { class: "attachments" });
    this.edited = h("span", { class: "edited" }, "(edited)");
    this.tail = h("div", { class: "message-tail" });
    this.body = h("div", { class: "message-body" }, this.top, this.text, this.blocks.node, this.attached, this.tail);
    this.node = h("article", { class: "message", tabindex: "-1" }, this.gutter, this.body);
  }

  list() {
    const act = (blockId, element, node) => this.desk.act(this.message, blockId, element, node);
    return new BlockList({ people: this.desk.people, act });
  }

  /** What has been entered in it, as Slack's `state.values`. */
  values() {
    return Object.assign({}, this.blocks.values(), ...this.attachments.map((attachment) => attachment.blocks.values()));
  }

  /** Show `message`; `compact` leaves out an author who has just spoken. */
  update(message, compact) {
    if (message === this.message && compact === this.compact) return;
    this.message = message;
    this.compact = compact;
    const { name, isBot } = authorOf(message, this.desk.users());
    this.node.className = flat([
      "message",
      compact && "compact",
      message.ephemeral && "ephemeral",
      message.notice && "notice",
    ]).join(" ");
    this.node.dataset.ts = message.ts;
    this.node.setAttribute("aria-label", `${name}, ${timeOf(message.ts)}`);
    const time = h("time", { class: "time", title: inFull(message.ts) }, timeOf(message.ts));
    this.gutter.replaceChildren(compact ? time : avatar(name, isBot));
    this.top.replaceChildren(
      ...flat([
        message.ephemeral && h("div", { class: "only-you" }, icons.eye(), "Only visible to you"),
        this.inThread || message.subtype !== "thread_broadcast"
          ? null
          : h("div", { class: "only-you" }, icons.thread(), "replied to a thread"),
        !compact &&
          h(
            "div",
            { class: "byline" },
            h("b", { class: "author" }, name),
            isBot && h("span", { class: "badge" }, "APP"),
            time,
          ),
      ]),
    );
    const blocks = message.blocks ?? [];
    this.text.replaceChildren(...flat([blocks.length ? null : mrkdwn(message.text, this.desk.people)]));
    this.blocks.update(blocks);
    this.showAttachments(message.attachments ?? []);
    this.showTail(message);
    this.edited.remove();
    if (message.edited) {
      this.edited.title = inFull(message.edited.ts);
      if (blocks.length) this.tail.before(this.edited);
      else this.text.append(" ", this.edited);
    }
  }

  /** Files, reactions and the way to the thread; left alone while they are what they were. */
  showTail(message) {
    const key = JSON.stringify([
      message.files,
      message.reactions,
      message.reply_count,
      message.thread_ts,
      message.ephemeral,
    ]);
    if (key === this.tailKey) return;
    this.tailKey = key;
    this.tail.replaceChildren(...flat(this.tailOf(message)));
  }

  showAttachments(attachments) {
    this.attachments = attachments.map(
      (_, index) => this.attachments[index] ?? new AttachmentView(this.desk.people, this.list()),
    );
    attachments.forEach((attachment, index) => this.attachments[index].update(attachment));
    arrange(
      this.attached,
      this.attachments.map((view) => view.node),
    );
  }

  tailOf(message) {
    const replies = Number(message.reply_count ?? 0);
    const open = () => this.desk.openThread(message.thread_ts ?? message.ts);
    return [
      (message.files ?? []).map(file),
      (message.reactions ?? []).length > 0 && h("div", { class: "reactions" }, message.reactions.map(reaction)),
      !this.inThread && replies > 0
        ? h(
            "button",
            { type: "button", class: "thread-link", on: { click: open } },
            icons.thread(),
            `${replies} ${replies === 1 ? "reply" : "replies"}`,
          )
        : null,
      !this.inThread && !message.ephemeral
        ? h(
            "button",
            {
              type: "button",
              class: "reply",
              "aria-label": "Reply in thread",
              title: "Reply in thread",
              on: { click: open },
            },
            icons.thread(),
          )
        : null,
    ];
  }
}

function reaction({ name, count, users = [] }) {
  return h("span", { class: "reaction", title: users.join(", ") }, emojiNode(name), " ", String(count ?? users.length));
}

function file(item) {
  const url = item.url_private ?? item.permalink;
  const name = item.title || item.name || "file";
  if (item.mimetype?.startsWith("image/"))
    return h(
      "a",
      { class: "file-image", href: url, target: "_blank", rel: "noopener noreferrer" },
      h("img", { src: url, alt: name }),
    );
  return h(
    "div",
    { class: "file" },
    icons.file(),
    isSafe(url ?? "") ? link(url, name) : h("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, name),
  );
}

const NAMED = { good: "ok", warning: "warn", danger: "danger" };

/** A secondary attachment, with its colour bar. */
class AttachmentView {
  constructor(people, blocks) {
    this.people = people;
    this.blocks = blocks;
    this.head = h("div", {});
    this.node = h("div", { class: "attachment" }, this.head, this.blocks.node);
  }

  update(attachment) {
    const text = (value) => value && h("div", { class: "text" }, mrkdwn(value, this.people));
    this.node.className = `attachment ${NAMED[attachment.color] ? `bar-${NAMED[attachment.color]}` : ""}`;
    if (/^#?[0-9a-f]{6}$/i.test(attachment.color ?? ""))
      this.node.style.setProperty("--bar", `#${attachment.color.replace("#", "")}`);
    else this.node.style.removeProperty("--bar");
    const title =
      attachment.title &&
      h(
        "div",
        { class: "attachment-title" },
        attachment.title_link ? link(attachment.title_link, attachment.title) : attachment.title,
      );
    const fields = (attachment.fields ?? []).map((field) =>
      h(
        "div",
        { class: ["text", "field-text", !field.short && "field-long"] },
        field.title && h("b", {}, field.title),
        field.title && h("br"),
        mrkdwn(field.value, this.people),
      ),
    );
    this.head.replaceChildren(
      ...flat([
        attachment.author_name && h("div", { class: "attachment-author" }, attachment.author_name),
        text(attachment.pretext),
        title,
        attachment.blocks?.length ? null : text(attachment.text ?? attachment.fallback),
        fields.length > 0 && h("div", { class: "fields" }, fields),
        attachment.image_url &&
          h("img", { class: "attachment-image", src: attachment.image_url, alt: attachment.fallback ?? "" }),
        attachment.footer && h("div", { class: "attachment-footer" }, attachment.footer),
      ]),
    );
    this.blocks.update(attachment.blocks ?? []);
  }
}

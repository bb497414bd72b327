/** A scrolling list of messages that stays where the reader is: at the end, or at what they are reading. */

import { arrange, h, icons } from "./dom.js";
import { MessageView } from "./messages.js";
import { dayOf } from "./time.js";

const NEAR_END_PX = 60;
const SAME_BREATH_S = 300;

export class Timeline {
  /** `desk` as in MessageView; `label` names the list for screen readers. */
  constructor(desk, label, inThread = false) {
    this.desk = desk;
    this.inThread = inThread;
    this.views = new Map();
    this.marks = new Map();
    this.list = h("div", { class: "messages", role: "log", "aria-label": label, "aria-live": "polite" });
    this.jump = h(
      "button",
      { type: "button", class: "jump", hidden: true, on: { click: () => this.toEnd() } },
      icons.down(),
      "New messages",
    );
    this.scroller = h("div", { class: "scroller", tabindex: "0", on: { scroll: () => this.scrolled() } }, this.list);
    this.node = h("div", { class: "timeline" }, this.scroller, this.jump);
    this.atEnd = true;
    this.isNew = true;
    // Pictures load, fonts arrive, the window is resized: the end stays in sight through all of it.
    const follow = new ResizeObserver(() => this.atEnd && this.toEnd());
    follow.observe(this.list);
    follow.observe(this.scroller);
  }

  /** Start over, at the end: another channel or thread is shown. */
  reset() {
    this.views.clear();
    this.marks.clear();
    this.atEnd = true;
    this.isNew = true;
  }

  /** Show `messages`; the mark "New" stands before the one with the timestamp `firstNew`, `intro` before all. */
  render(messages, { firstNew = null, intro = null } = {}) {
    // A scroll that has just begun has not told of itself yet; it must not be undone.
    if (!this.isNew) this.scrolled();
    this.isNew = false;
    const nodes = intro ? [intro] : [];
    let previous = null;
    for (const message of messages) {
      const day = dayOf(message.ts);
      const newDay = !previous || dayOf(previous.ts) !== day;
      if (newDay && !this.inThread) nodes.push(this.mark(`day ${day}`, "day", day));
      const isFirstNew = message.ts === firstNew;
      if (isFirstNew) nodes.push(this.mark("new", "new", "New"));
      nodes.push(this.view(message, !newDay && !isFirstNew && follows(previous, message)).node);
      previous = message;
    }
    const shown = new Set(messages.map((message) => message.ts));
    for (const ts of this.views.keys()) if (!shown.has(ts)) this.views.delete(ts);
    arrange(this.list, nodes);
    if (this.atEnd) this.toEnd();
  }

  /** A message arrived: if the end is out of sight, offer the way there. */
  arrived() {
    this.scrolled();
    this.jump.hidden = this.atEnd;
  }

  toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.atEnd = true;
    this.jump.hidden = true;
  }

  scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    this.atEnd = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
    if (this.atEnd) this.jump.hidden = true;
  }

  view(message, compact) {
    let view = this.views.get(message.ts);
    if (!view) this.views.set(message.ts, (view = new MessageView(this.desk, this.inThread)));
    view.update(message, compact);
    return view;
  }

  mark(key, kind, text) {
    if (!this.marks.has(key))
      this.marks.set(key, h("div", { class: ["mark", `mark-${kind}`], role: "separator" }, h("span", {}, text)));
    return this.marks.get(key);
  }
}

/** Whether a message goes on where the one before left off, so that its author need not be named again. */
function follows(previous, message) {
  return (
    previous.user === message.user &&
    previous.username === message.username &&
    Boolean(previous.ephemeral) === Boolean(message.ephemeral) &&
    !message.ephemeral &&
    // An alert or a question stands alone, with its author and its time.
    !message.blocks &&
    !message.attachments &&
    Number(message.ts) - Number(previous.ts) < SAME_BREATH_S
  );
}

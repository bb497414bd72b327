/** What the page knows: the workspace as one person sees it, kept up to date by the server's messages. */

const SLACKBOT = "USLACKBOT";

/** Messages of a channel that stand in its main list: everything but replies that were not sent to the channel too. */
export const isTopLevel = (message) =>
  !message.thread_ts || message.thread_ts === message.ts || message.subtype === "thread_broadcast";

const byTime = (a, b) => Number(a.ts) - Number(b.ts) || (a.ts < b.ts ? -1 : 1);

/** Names for ids, as mrkdwn and the pickers need them. */
class Names {
  constructor(store) {
    this.store = store;
  }
  user(id) {
    return this.store.users.get(id)?.name ?? null;
  }
  channel(id) {
    return this.store.channels.get(id)?.name ?? null;
  }
  isMe(id) {
    return id === this.store.me?.id;
  }
  userChoices() {
    return [...this.store.users.values()].map((user) => ({ value: user.id, label: `@${user.name}` }));
  }
  channelChoices() {
    return [...this.store.channels.values()]
      .filter((channel) => !channel.is_im)
      .map((c) => ({ value: c.id, label: `#${c.name}` }));
  }
}

/** Emits "change" after every message from the server or step of the reader's; `detail.arrived` is a new message. */
export class Store extends EventTarget {
  constructor(storage) {
    super();
    this.storage = storage;
    this.people = new Names(this);
    this.team = null;
    this.me = null;
    this.users = new Map();
    this.channels = new Map();
    this.commands = [];
    this.panel = [];
    this.appConnected = true;
    this.home = null;
    this.current = null;
    this.thread = null;
    this.firstNew = null;
  }

  /** Take in one message of the server; those about views and things in flight are not the store's. */
  receive(event) {
    HANDLERS[event.type]?.(this, event);
    this.changed(event.type === "message" ? { arrived: event.message, channel: event.channel } : {});
  }

  changed(detail = {}) {
    this.dispatchEvent(new CustomEvent("change", { detail }));
  }

  /** The open channel, or undefined before the first snapshot. */
  get channel() {
    return this.channels.get(this.current);
  }

  /** Messages for the main list of a channel, oldest first. */
  topLevel(channel) {
    return [...channel.messages.values()].filter(isTopLevel).sort(byTime);
  }

  /** The open thread: its parent, then its replies. */
  threadMessages() {
    const messages = [...(this.channel?.messages.values() ?? [])];
    return messages.filter((m) => m.ts === this.thread || m.thread_ts === this.thread).sort(byTime);
  }

  open(channelId) {
    if (channelId !== this.current) this.thread = null;
    this.current = channelId;
    this.lookAgain();
    this.markRead();
    this.changed({ opened: channelId });
  }

  openThread(ts) {
    this.thread = ts;
    this.changed({ thread: ts });
  }

  /** Put something that only this person sees and only this page remembers into a channel. */
  note(channelId, text) {
    const channel = this.channels.get(channelId) ?? this.channel;
    const ts = (Date.now() / 1000).toFixed(6);
    const message = { ts, user: SLACKBOT, username: "Slackbot", text, ephemeral: true, notice: true };
    channel?.messages.set(ts, message);
    this.changed({ arrived: message, channel: channel?.id });
  }

  // --- what was read ---

  key(channelId) {
    return `read:${this.team?.id}:${this.me?.id}:${channelId}`;
  }

  lastRead(channelId) {
    return this.storage.getItem(this.key(channelId)) ?? "0";
  }

  /** The reader comes (back) to the open channel: what arrived meanwhile begins at `firstNew`, if anything did. */
  lookAgain() {
    const since = this.lastRead(this.current);
    this.firstNew = this.channel && since !== "0" ? (this.unreadIn(this.channel)[0]?.ts ?? null) : null;
  }

  markRead() {
    const last = this.channel && this.topLevel(this.channel).at(-1);
    if (last && Number(last.ts) > Number(this.lastRead(this.current)))
      this.storage.setItem(this.key(this.current), last.ts);
  }

  unreadIn(channel) {
    const since = Number(this.lastRead(channel.id));
    return this.topLevel(channel).filter((message) => Number(message.ts) > since && message.user !== this.me?.id);
  }
}

const asMap = (list, key = "id") => new Map((list ?? []).map((item) => [item[key], item]));
const asChannel = (channel) => ({ ...channel, messages: asMap(channel.messages, "ts") });

const HANDLERS = {
  snapshot(store, event) {
    const before = store.me?.id === (event.me?.id ?? event.me) ? store.channels : new Map();
    store.team = typeof event.team === "string" ? { id: event.team, name: event.team } : event.team;
    store.users = asMap(event.users);
    store.me = typeof event.me === "string" ? store.users.get(event.me) : event.me;
    store.channels = asMap((event.channels ?? []).map(asChannel));
    for (const [id, channel] of before)
      for (const message of channel.messages.values())
        if (message.notice) store.channels.get(id)?.messages.set(message.ts, message);
    store.commands = event.commands ?? [];
    store.panel = event.panel ?? [];
    store.home = event.home ?? null;
    if (event.connected !== undefined) store.appConnected = event.connected;
    if (!store.channel) store.current = store.channels.keys().next().value ?? null;
    if (!store.channel?.messages.has(store.thread)) store.thread = null;
    store.lookAgain();
  },
  channel(store, { channel }) {
    store.channels.set(channel.id, asChannel(channel));
  },
  message(store, { channel, message }) {
    store.channels.get(channel)?.messages.set(message.ts, message);
  },
  message_changed(store, { channel, message }) {
    store.channels.get(channel)?.messages.set(message.ts, message);
  },
  message_deleted(store, { channel, ts }) {
    store.channels.get(channel)?.messages.delete(ts);
    if (store.thread === ts) store.thread = null;
  },
  panel(store, { panel }) {
    store.panel = panel;
  },
  connection(store, { connected }) {
    store.appConnected = connected;
  },
  home_published(store, { view }) {
    store.home = view;
  },
};

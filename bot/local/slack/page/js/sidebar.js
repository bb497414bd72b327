/** The left side: the workspace, its channels with what is unread, and who one acts as. */

import { arrange, flat, h } from "./dom.js";
import { avatar } from "./messages.js";

export class Sidebar {
  /** `open(channelId)` and `become(userId)` are what a person can do here; `closer` closes it on a narrow screen. */
  constructor({ open, become, closer }) {
    this.open = open;
    this.become = become;
    this.team = h("div", {});
    this.channels = h("ul", { class: "channel-list" });
    this.people = h("div", { class: "people", role: "radiogroup", "aria-label": "Act as" });
    this.rows = new Map();
    this.node = h(
      "nav",
      { class: "sidebar", id: "sidebar", "aria-label": "Workspace" },
      h("header", { class: "team" }, this.team, closer),
      h("div", { class: "sidebar-scroll" }, h("h2", { class: "side-title" }, "Channels"), this.channels),
      h("h2", { class: "side-title" }, "Act as"),
      this.people,
    );
  }

  render(store) {
    this.team.replaceChildren(
      h("b", { class: "team-name" }, store.team?.name ?? "…"),
      h("span", { class: "team-note" }, "Slack stand-in · on this machine only"),
    );
    const rows = [...store.channels.values()].map((channel) => this.row(channel, store));
    arrange(this.channels, rows);
    const people = [...store.users.values()].filter((user) => !user.is_bot);
    const key = JSON.stringify([people.map((user) => user.id), store.me?.id]);
    if (key !== this.peopleKey) this.people.replaceChildren(...people.map((user) => this.person(user, store.me)));
    this.peopleKey = key;
  }

  row(channel, store) {
    const unread = channel.id === store.current ? 0 : store.unreadIn(channel).length;
    const current = channel.id === store.current;
    const key = JSON.stringify([channel.name, unread, current]);
    const before = this.rows.get(channel.id);
    if (before?.key === key) return before.node;
    const node = before?.node ?? h("li", {});
    const label = unread ? `${channel.name}, ${unread} unread` : channel.name;
    const button = h(
      "button",
      {
        type: "button",
        class: ["channel", unread && "unread"],
        "aria-current": current ? "page" : null,
        "aria-label": label,
        on: { click: () => this.open(channel.id) },
      },
      h("span", { class: "hash", "aria-hidden": "true" }, channel.is_im ? "@" : "#"),
      h("span", { class: "channel-name" }, channel.name),
      unread ? h("span", { class: "count" }, unread > 99 ? "99+" : String(unread)) : null,
    );
    const hadFocus = node.contains(document.activeElement);
    node.replaceChildren(button);
    if (hadFocus) button.focus();
    this.rows.set(channel.id, { key, node });
    return node;
  }

  person(user, me) {
    const chosen = user.id === me?.id;
    const title = user.profile?.title || user.title;
    return h(
      "label",
      { class: ["person", chosen && "person-me"] },
      h("input", {
        type: "radio",
        name: "act-as",
        value: user.id,
        class: "visually-hidden",
        checked: chosen,
        on: { change: () => this.become(user.id) },
      }),
      avatar(user.real_name ?? user.name),
      h(
        "span",
        { class: "person-name" },
        ...flat([h("span", {}, user.real_name ?? user.name), title && h("span", { class: "person-title" }, title)]),
      ),
    );
  }
}

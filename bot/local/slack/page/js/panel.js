/** The side panel: switches and lights of whatever the embedding program runs, for the demo the lab's two hosts. */

import { arrange, flat, h } from "./dom.js";

export class Panel {
  /** `press(itemId, settled)` flips a switch; `closer` is the button that closes the panel on a narrow screen. */
  constructor({ press, closer }) {
    this.press = press;
    this.groups = new Map();
    this.list = h("div", { class: "panel-groups" });
    this.node = h(
      "aside",
      { class: "panel", id: "panel", "aria-label": "Lab" },
      h(
        "header",
        { class: "pane-head" },
        h(
          "div",
          {},
          h("h2", { class: "pane-title" }, "Lab"),
          h("p", { class: "pane-note" }, "These switches work on the lab's hosts."),
        ),
        closer,
      ),
      this.list,
    );
  }

  render(items) {
    const names = [...new Set(items.map((item) => item.group ?? ""))];
    arrange(
      this.list,
      names.map((name) =>
        this.group(
          name,
          items.filter((item) => (item.group ?? "") === name),
        ),
      ),
    );
  }

  group(name, items) {
    let group = this.groups.get(name);
    if (!group) {
      group = { rows: new Map(), states: h("ul", { class: "states" }), buttons: h("div", { class: "switches" }) };
      group.node = h(
        "section",
        { class: "panel-group", "aria-label": name || "Lab" },
        name && h("h3", {}, name),
        group.states,
        group.buttons,
      );
      this.groups.set(name, group);
    }
    const rows = items.map((item) => ({ item, node: this.row(group, item) }));
    arrange(
      group.states,
      rows.filter(({ item }) => item.kind === "state").map(({ node }) => node),
    );
    arrange(
      group.buttons,
      rows.filter(({ item }) => item.kind !== "state").map(({ node }) => node),
    );
    return group.node;
  }

  /** The node of an item, the same one for as long as the item lives: a press survives any update. */
  row(group, item) {
    const isState = item.kind === "state";
    let row = group.rows.get(item.id);
    if (!row) {
      const node = isState
        ? h("li", {})
        : h("button", { type: "button", data: { switch: item.id }, on: { click: () => this.pressed(row) } });
      row = { node, key: "", item };
      group.rows.set(item.id, row);
    }
    row.item = item;
    const key = JSON.stringify(item);
    if (key === row.key) return row.node;
    row.key = key;
    if (isState) showState(row.node, item);
    else {
      showSwitch(row.node, item);
      showBusy(row);
    }
    return row.node;
  }

  pressed(row) {
    if (row.pressed || row.item.busy) return;
    row.pressed = true;
    showBusy(row);
    this.press(row.item.id, () => {
      row.pressed = false;
      showBusy(row);
    });
  }
}

function showState(node, item) {
  const light = item.busy ? "busy" : item.danger ? "danger" : "ok";
  node.className = `state state-${light}`;
  node.replaceChildren(
    h("span", { class: "light", "aria-hidden": "true" }),
    h("span", { class: "state-label" }, item.label),
    h("span", { class: "state-detail" }, item.detail ?? ""),
  );
}

function showSwitch(node, item) {
  node.className = flat(["btn", "switch", item.danger && "btn-danger-quiet"]).join(" ");
  node.replaceChildren(
    h("span", { class: "switch-label" }, item.label),
    ...flat([item.detail && h("span", { class: "switch-detail" }, item.detail)]),
  );
}

/** A switch is busy from the press until it is answered, and for as long as the program says so. */
function showBusy({ node, item, pressed }) {
  node.setAttribute("aria-busy", String(Boolean(pressed || item.busy)));
}

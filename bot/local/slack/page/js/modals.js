/** Modals: views that the app opens, filled in and submitted by a person. */

import { BlockList } from "./blocklist.js";
import { flat, h, icons } from "./dom.js";
import { textObject } from "./mrkdwn.js";

const REQUIRED = "Please complete this required field.";

/** Whether what an input element reads as counts as nothing. */
function isEmpty(entered) {
  const { type, ...values } = entered ?? {};
  return Object.values(values).every(
    (value) => value === null || value === undefined || value === "" || (Array.isArray(value) && !value.length),
  );
}

export class Modals {
  /** `act(viewId, values, blockId, element, node)`, `submit(viewId, state, node)` and `close(viewId)` reach the app. */
  constructor({ people, act, submit, close }) {
    Object.assign(this, { people, act, submit, close });
    this.open = new Map();
  }

  /** Take in one message of the server, if it is about views. */
  receive(event) {
    const modal = this.open.get(event.view_id ?? event.view?.id);
    switch (event.type) {
      case "snapshot":
        for (const open of [...this.open.values()]) open.dismiss();
        for (const view of event.views ?? []) this.show(view);
        break;
      case "view_opened":
        if (event.view.type === "modal") this.show(event.view);
        break;
      case "view_updated":
        modal?.update(event.view);
        break;
      case "view_errors":
        modal?.complain(event.errors ?? {});
        break;
      case "view_closed":
        modal?.dismiss();
        break;
    }
  }

  show(view) {
    const modal = new Modal(this, view);
    this.open.set(view.id, modal);
    modal.update(view);
    modal.node.showModal();
    modal.node.querySelector("[autofocus], .blocks input, .blocks textarea, .blocks select")?.focus();
  }
}

class Modal {
  constructor(modals, view) {
    this.modals = modals;
    this.id = view.id;
    this.blocks = new BlockList({
      people: modals.people,
      isForm: true,
      act: (...chosen) => modals.act(this.id, this.blocks.values(), ...chosen),
    });
    this.title = h("h2", { class: "dialog-title", id: `title-${view.id}` });
    this.general = h("p", { class: "error", role: "alert", hidden: true });
    this.buttons = h("div", { class: "dialog-buttons" });
    const leave = () => this.leave();
    this.node = h(
      "dialog",
      {
        class: "dialog modal",
        "aria-labelledby": `title-${view.id}`,
        on: { cancel: (event) => event.target === this.node && (event.preventDefault(), leave()) },
      },
      h(
        "form",
        { novalidate: true, on: { submit: (event) => this.submit(event) } },
        h(
          "header",
          { class: "dialog-head" },
          this.title,
          h(
            "button",
            { type: "button", class: "btn-bare", "aria-label": "Close", on: { click: leave } },
            icons.close(),
          ),
        ),
        h("div", { class: "dialog-body" }, this.general, this.blocks.node),
        this.buttons,
      ),
    );
    document.body.append(this.node);
  }

  update(view) {
    this.view = view;
    this.title.replaceChildren(...textObject(view.title));
    this.blocks.update(view.blocks ?? []);
    const close = h(
      "button",
      { type: "button", class: "btn", on: { click: () => this.leave() } },
      view.close ? textObject(view.close) : view.submit ? "Cancel" : "Close",
    );
    this.submitter = view.submit && h("button", { type: "submit", class: "btn btn-primary" }, textObject(view.submit));
    this.buttons.replaceChildren(...flat([close, this.submitter]));
  }

  submit(event) {
    event.preventDefault();
    if (this.submitter?.getAttribute("aria-busy") === "true") return;
    const values = this.blocks.values();
    const faults = this.faults(values);
    this.complain(faults);
    if (Object.keys(faults).length === 0) this.modals.submit(this.id, { values }, this.submitter);
  }

  /** What a person must mend before anything is sent, by block id. */
  faults(values) {
    const faults = {};
    for (const { block, node } of this.blocks.entries) {
      if (block.type !== "input") continue;
      const entered = values[block.block_id]?.[block.element.action_id];
      const invalid = node.querySelector(":invalid");
      if (!block.optional && isEmpty(entered)) faults[block.block_id] = REQUIRED;
      else if (invalid) faults[block.block_id] = invalid.validationMessage;
    }
    return faults;
  }

  /** Show `errors`, by block id, where they belong, and go to the first; what has no place stands at the top. */
  complain(errors) {
    const left = { ...errors };
    let first = null;
    for (const { block, node } of this.blocks.entries) {
      const place = node.querySelector(".error");
      if (!place) continue;
      const text = left[block.block_id];
      delete left[block.block_id];
      place.textContent = text ?? "";
      place.hidden = !text;
      const field = node.querySelector("input, textarea, select");
      if (text) {
        field?.setAttribute("aria-invalid", "true");
        first ??= field;
      } else field?.removeAttribute("aria-invalid");
    }
    this.general.textContent = Object.values(left).join(" ");
    this.general.hidden = this.general.textContent === "";
    first?.focus();
  }

  /** The person closes it: the app is told. */
  leave() {
    this.modals.close(this.id);
    this.dismiss();
  }

  /** It goes away. */
  dismiss() {
    this.modals.open.delete(this.id);
    this.node.close();
    this.node.remove();
  }
}

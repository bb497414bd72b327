/** The field one writes in: grows with the text, completes slash commands, remembers what was sent. */

import { h, icons } from "./dom.js";

const REMEMBERED = 50;
let serial = 0;

/**
 * What may complete `text`: the commands themselves, and once one is written the verbs of its usage hint
 * ("status [name] | drain NAME"). Each has the text it completes to, and what to say about it.
 */
export function completions(text, commands) {
  if (!text.startsWith("/") || text.includes("\n")) return [];
  const command = commands.find((c) => text.startsWith(`${c.command} `));
  if (!command) {
    const near = commands.filter((c) => c.command.startsWith(text.trimEnd()) && !text.endsWith(" "));
    return near.map((c) => ({
      text: `${c.command} `,
      shown: c.command,
      hint: c.usage_hint ?? "",
      more: c.description ?? "",
    }));
  }
  const typed = text.slice(command.command.length + 1);
  if (typed.includes(" ")) return [];
  const usages = (command.usage_hint ?? "").split(" | ").map((usage) => usage.trim());
  return usages
    .filter((usage) => /^[a-z]/i.test(usage) && usage.split(" ")[0].startsWith(typed) && usage !== typed)
    .map((usage) => {
      const [verb, ...rest] = usage.split(" ");
      return {
        text: `${command.command} ${verb}${rest.length ? " " : ""}`,
        shown: `${command.command} ${verb}`,
        hint: rest.join(" "),
        more: "",
      };
    });
}

export class Composer {
  /** `send(text)` returns false if nothing was sent, and the text then stays. `commands()` are the slash commands. */
  constructor({ send, commands, label, storage, memory }) {
    this.send = send;
    this.commands = commands;
    this.storage = storage;
    this.memory = memory;
    this.recalled = -1;
    this.draft = "";
    this.chosen = 0;
    this.offered = [];
    const id = `composer-${++serial}`;
    this.list = h("ul", {
      id: `${id}-list`,
      class: "completions",
      role: "listbox",
      "aria-label": "Commands",
      hidden: true,
    });
    this.field = h("textarea", {
      rows: 1,
      "aria-label": label,
      placeholder: label,
      autocomplete: "off",
      autocapitalize: "none",
      spellcheck: "true",
      role: "combobox",
      "aria-autocomplete": "list",
      "aria-expanded": "false",
      "aria-controls": `${id}-list`,
      enterkeyhint: "send",
      on: { input: () => this.typed(), keydown: (event) => this.key(event), blur: () => this.offer([]) },
    });
    const button = h("button", { type: "submit", class: "send", "aria-label": "Send" }, icons.send());
    this.node = h(
      "form",
      { class: "composer", on: { submit: (event) => this.submit(event) } },
      this.list,
      this.field,
      button,
    );
  }

  /** Say where the text goes. */
  rename(label) {
    this.field.placeholder = label;
    this.field.setAttribute("aria-label", label);
  }

  typed() {
    this.recalled = -1;
    this.offer(completions(this.field.value, this.commands()));
    this.grow();
  }

  grow() {
    this.field.style.height = "auto";
    this.field.style.height = `${this.field.scrollHeight}px`;
  }

  put(text) {
    this.field.value = text;
    this.field.setSelectionRange(text.length, text.length);
    this.grow();
  }

  offer(offered, chosen = 0) {
    this.offered = offered;
    this.chosen = chosen;
    const option = (item, index) =>
      h(
        "li",
        {
          id: `${this.list.id}-${index}`,
          role: "option",
          "aria-selected": String(index === chosen),
          // A press must not take the focus from the field: that would close the list before the click.
          on: { mousedown: (event) => event.preventDefault(), click: () => this.take(item) },
        },
        h("b", {}, item.shown),
        h("span", { class: "completion-hint" }, item.hint),
        h("span", { class: "completion-more" }, item.more),
      );
    this.list.replaceChildren(...offered.map(option));
    this.list.hidden = offered.length === 0;
    this.field.setAttribute("aria-expanded", String(offered.length > 0));
    if (offered.length) this.field.setAttribute("aria-activedescendant", `${this.list.id}-${chosen}`);
    else this.field.removeAttribute("aria-activedescendant");
  }

  take(item) {
    this.put(item.text);
    this.typed();
    this.field.focus();
  }

  key(event) {
    if (event.isComposing) return;
    const { key, shiftKey } = event;
    const open = this.offered.length > 0;
    if (key === "Enter" && !shiftKey) {
      event.preventDefault();
      const item = this.offered[this.chosen];
      // Enter completes a command that is half written; a whole one is sent.
      if (item && item.text.trimEnd() !== this.field.value.trimEnd()) this.take(item);
      else this.submit();
    } else if (key === "Tab" && open && !shiftKey) {
      event.preventDefault();
      this.take(this.offered[this.chosen]);
    } else if (key === "Escape" && open) {
      event.preventDefault();
      this.offer([]);
    } else if (key === "ArrowUp" || key === "ArrowDown") this.arrow(event, key === "ArrowUp" ? -1 : 1);
  }

  arrow(event, step) {
    const { value, selectionStart } = this.field;
    if (this.offered.length && this.recalled < 0) {
      event.preventDefault();
      this.offer(this.offered, (this.chosen + step + this.offered.length) % this.offered.length);
      return;
    }
    const edge =
      step < 0 ? !value.slice(0, selectionStart).includes("\n") : !value.slice(selectionStart).includes("\n");
    if (edge && this.recall(this.recalled - step)) event.preventDefault();
  }

  /** Show what was sent `back` messages ago; -1 is what is being written. */
  recall(back) {
    const sent = this.sent();
    if (back < -1 || back >= sent.length || (back === -1 && this.recalled === -1)) return false;
    if (this.recalled === -1) this.draft = this.field.value;
    this.recalled = back;
    this.put(back === -1 ? this.draft : sent[back]);
    this.offer([]);
    return true;
  }

  sent() {
    return JSON.parse(this.storage.getItem(this.memory()) ?? "[]");
  }

  submit(event) {
    event?.preventDefault();
    const text = this.field.value.trim();
    if (!text || this.send(text) === false) return;
    const sent = this.sent().filter((earlier) => earlier !== text);
    this.storage.setItem(this.memory(), JSON.stringify([text, ...sent].slice(0, REMEMBERED)));
    this.recalled = -1;
    this.put("");
    this.offer([]);
  }
}

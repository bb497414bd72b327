/** Block Kit's interactive elements: each draws itself, reads its own value, and reports what a person chose. */

import { h, icons } from "./dom.js";
import { isSafe, textObject } from "./mrkdwn.js";

/**
 * The node of an element. `place` is where it stands (see blocks.js): `place.people` names people, `place.input(spec, read)`
 * registers how its value is read, `place.chose(spec, value, node, undo)` tells that a person chose something.
 */
export function element(spec, place) {
  const draw = ELEMENTS[spec.type];
  return draw ? draw(spec, place) : h("span", { class: "unknown" }, `[${spec.type}]`);
}

/** The spec with what a person has entered so far in the place of what the app suggested. */
export function resume(spec, entered) {
  if (!entered) return spec;
  const { type, ...values } = entered;
  const initial = Object.entries(values).map(([key, value]) => [`initial_${key.replace("selected_", "")}`, value]);
  return { ...spec, type, ...Object.fromEntries(initial) };
}

let serial = 0;
const unique = (prefix) => `${prefix}-${++serial}`;
const words = (object) => object?.text ?? "";
const optionsOf = (spec) => spec.options ?? (spec.option_groups ?? []).flatMap((group) => group.options);

function button(spec, place) {
  const inner = [textObject(spec.text, place.people)];
  const looks = {
    class: ["btn", spec.style && `btn-${spec.style}`],
    "aria-label": spec.accessibility_label,
    data: { action: spec.action_id },
  };
  const value = { text: spec.text, ...(spec.value === undefined ? {} : { value: spec.value }) };
  if (!spec.url) {
    const node = h("button", { ...looks, type: "button", on: { click: () => place.chose(spec, value, node) } }, inner);
    return node;
  }
  const target = isSafe(spec.url) ? { href: spec.url, target: "_blank", rel: "noopener noreferrer" } : {};
  const node = h("a", { ...looks, ...target, on: { click: () => place.chose(spec, value, node) } }, inner);
  return node;
}

/** A native select: the platform's own list is the one that works with a thumb, a keyboard and a screen reader. */
function select(spec, place, choices, groups, toValue, initial) {
  const option = (choice) => h("option", { value: choice.value, selected: choice.value === initial }, choice.label);
  const node = h(
    "select",
    {
      class: "select",
      id: place.id,
      "aria-label": place.id ? null : words(spec.placeholder) || "Choose",
      data: { action: spec.action_id },
    },
    h("option", { value: "" }, words(spec.placeholder) || "Choose…"),
    groups
      ? groups.map((group) =>
          h(
            "optgroup",
            { label: words(group.label) },
            group.options.map((o) => option(asChoice(o))),
          ),
        )
      : choices.map(option),
  );
  const read = () => ({ type: spec.type, ...toValue(node.value || null) });
  let last = node.value;
  node.addEventListener("change", () => {
    const before = last;
    last = node.value;
    place.chose(spec, toValue(node.value || null), node, () => (last = node.value = before));
  });
  place.input(spec, read);
  return node;
}

const asChoice = (option) => ({ value: option.value, label: words(option.text) });

function staticSelect(spec, place) {
  const find = (value) => ({ selected_option: optionsOf(spec).find((option) => option.value === value) ?? null });
  return select(spec, place, optionsOf(spec).map(asChoice), spec.option_groups, find, spec.initial_option?.value);
}

const pickFrom = (list, key) => (spec, place) =>
  select(spec, place, place.people[list](), null, (value) => ({ [`selected_${key}`]: value }), spec[`initial_${key}`]);

/** Radio buttons, checkboxes, and multi-selects (which here are checkboxes in a frame). */
function choices(kind, framed = false) {
  return (spec, place) => {
    const name = unique("choice");
    const single = kind === "radio";
    const initial = single ? [spec.initial_option] : (spec.initial_options ?? []);
    const options = optionsOf(spec);
    const boxes = options.map((option) =>
      h("input", { type: kind, name, value: option.value, checked: initial.some((o) => o?.value === option.value) }),
    );
    const chosen = () => options.filter((_, index) => boxes[index].checked);
    const value = () => (single ? { selected_option: chosen()[0] ?? null } : { selected_options: chosen() });
    const rows = options.map((option, index) =>
      h(
        "label",
        { class: "choice" },
        boxes[index],
        h(
          "span",
          {},
          textObject(option.text, place.people),
          option.description && h("span", { class: "choice-more" }, textObject(option.description, place.people)),
        ),
      ),
    );
    const node = h(
      "div",
      {
        role: single ? "radiogroup" : "group",
        class: ["choices", framed && "choices-framed"],
        "aria-labelledby": place.id && `${place.id}-label`,
        data: { action: spec.action_id },
      },
      rows,
    );
    let last = boxes.map((box) => box.checked);
    node.addEventListener("change", () => {
      const before = last;
      last = boxes.map((box) => box.checked);
      place.chose(spec, value(), node, () => boxes.forEach((box, index) => (box.checked = (last = before)[index])));
    });
    place.input(spec, () => ({ type: spec.type, ...value() }));
    return node;
  };
}

/** Dates and times, by the browser's own pickers. */
function picker(type, key, to = (text) => text || null, from = (value) => value ?? "") {
  return (spec, place) => {
    const node = h("input", {
      class: "field",
      type,
      id: place.id,
      "aria-label": place.id ? null : words(spec.placeholder) || key,
      data: { action: spec.action_id },
    });
    node.value = from(spec[`initial_${key}`]);
    const value = () => ({ [`selected_${key}`]: to(node.value) });
    let last = node.value;
    node.addEventListener("change", () => {
      const before = last;
      last = node.value;
      place.chose(spec, value(), node, () => (last = node.value = before));
    });
    place.input(spec, () => ({ type: spec.type, ...value() }));
    return node;
  };
}

const localMinute = (unix) => {
  if (!unix) return "";
  const at = new Date(unix * 1000);
  return new Date(at - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
};

function textInput(type) {
  return (spec, place) => {
    const shared = {
      class: "field",
      id: place.id,
      placeholder: words(spec.placeholder),
      minlength: spec.min_length,
      maxlength: spec.max_length,
      autofocus: spec.focus_on_load,
      data: { action: spec.action_id },
    };
    const numeric = type === "number" && {
      min: spec.min_value,
      max: spec.max_value,
      step: spec.is_decimal_allowed ? "any" : 1,
    };
    const node = spec.multiline
      ? h("textarea", { ...shared, rows: 4 })
      : h("input", { ...shared, ...numeric, type, autocomplete: "off" });
    node.value = spec.initial_value ?? "";
    const value = () => ({ value: node.value === "" ? null : node.value });
    const on = spec.dispatch_action_config?.trigger_actions_on ?? ["on_enter_pressed"];
    if (on.includes("on_character_entered")) node.addEventListener("input", () => place.chose(spec, value(), node));
    else if (!spec.multiline)
      node.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || !place.dispatches) return;
        event.preventDefault();
        place.chose(spec, value(), node);
      });
    place.input(spec, () => ({ type: spec.type, ...value() }));
    return node;
  };
}

/** The "…" button with a menu: arrow keys move, Escape and a press elsewhere close it. */
function overflow(spec, place) {
  const id = unique("menu");
  const toggle = h(
    "button",
    {
      type: "button",
      class: "btn btn-icon",
      "aria-haspopup": "menu",
      "aria-expanded": "false",
      "aria-controls": id,
      "aria-label": "More actions",
    },
    icons.more(),
  );
  const items = spec.options.map((option) => {
    const target =
      option.url && isSafe(option.url)
        ? { href: option.url, target: "_blank", rel: "noopener noreferrer" }
        : { type: "button" };
    const pick = () => {
      show(false);
      toggle.focus();
      place.chose(spec, { selected_option: option }, toggle);
    };
    return h(
      target.href ? "a" : "button",
      { ...target, role: "menuitem", tabindex: "-1", on: { click: pick } },
      textObject(option.text, place.people),
    );
  });
  const menu = h("div", { id, role: "menu", class: "menu", hidden: true }, items);
  const node = h("div", { class: "overflow", data: { action: spec.action_id } }, toggle, menu);
  const show = (open) => {
    menu.hidden = !open;
    toggle.setAttribute("aria-expanded", String(open));
    if (open) items[0].focus();
  };
  toggle.addEventListener("click", () => show(menu.hidden));
  node.addEventListener("focusout", (event) => node.contains(event.relatedTarget) || show(false));
  node.addEventListener("keydown", (event) => {
    if (menu.hidden) return;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") {
      show(false);
      toggle.focus();
    } else if (step) items[(items.indexOf(document.activeElement) + step + items.length) % items.length].focus();
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  return node;
}

function image(spec) {
  return h("img", {
    class: "thumb",
    src: spec.image_url ?? spec.slack_file?.url,
    alt: spec.alt_text ?? "",
    title: spec.alt_text,
  });
}

const multi = choices("checkbox", true);
const ELEMENTS = {
  button,
  image,
  overflow,
  static_select: staticSelect,
  users_select: pickFrom("userChoices", "user"),
  channels_select: pickFrom("channelChoices", "channel"),
  conversations_select: pickFrom("channelChoices", "conversation"),
  multi_static_select: multi,
  checkboxes: choices("checkbox"),
  radio_buttons: choices("radio"),
  datepicker: picker("date", "date"),
  timepicker: picker("time", "time"),
  datetimepicker: picker(
    "datetime-local",
    "date_time",
    (text) => (text ? Math.floor(new Date(text) / 1000) : null),
    localMinute,
  ),
  plain_text_input: textInput("text"),
  email_text_input: textInput("email"),
  url_text_input: textInput("url"),
  number_input: textInput("number"),
};

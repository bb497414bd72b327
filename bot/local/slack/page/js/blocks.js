/** Block Kit's blocks, as DOM. What is drawn here is what a list of blocks (blocklist.js) keeps and compares. */

import { h, icons } from "./dom.js";
import { element } from "./elements.js";
import { markdown } from "./markdown.js";
import { link, plain, textObject } from "./mrkdwn.js";
import { richText } from "./richtext.js";

/** The node of one block. `place` is what it may call: see BlockList. */
export function drawBlock(block, place) {
  const draw = BLOCKS[block.type];
  const node = draw ? draw(block, place) : unknown(block);
  node.classList.add("block", `block-${block.type}`);
  return node;
}

function header(block, { people }) {
  return h("h3", {}, textObject(block.text, people));
}

function section(block, place) {
  const body = h(
    "div",
    { class: "section-body" },
    block.text && h("div", { class: "text" }, textObject(block.text, place.people)),
    block.fields &&
      h(
        "div",
        { class: "fields" },
        block.fields.map((field) => h("div", { class: "text field-text" }, textObject(field, place.people))),
      ),
  );
  const accessory = block.accessory && h("div", { class: "accessory" }, element(block.accessory, place));
  return h("div", { class: accessory && "with-accessory" }, body, accessory);
}

function context(block, place) {
  return h(
    "div",
    {},
    block.elements.map((item) =>
      item.type === "image" ? element(item, place) : h("span", { class: "text" }, textObject(item, place.people)),
    ),
  );
}

function actions(block, place) {
  return h(
    "div",
    { role: "group", "aria-label": "Actions" },
    block.elements.map((item) => element(item, place)),
  );
}

function image(block) {
  const url = block.image_url ?? block.slack_file?.url;
  const picture = h("img", { src: url, alt: block.alt_text ?? "" });
  const node = h("figure", {}, block.title && h("figcaption", {}, textObject(block.title)), picture);
  picture.addEventListener("error", () =>
    picture.replaceWith(h("p", { class: "missing" }, icons.file(), link(String(url), block.alt_text || "image"))),
  );
  return node;
}

/** An input with its label, hint and room for an error; only modals and App Home have these. */
function input(block, place) {
  const several = ["checkboxes", "radio_buttons", "multi_static_select"].includes(block.element.type);
  const label = [textObject(block.label), block.optional && h("span", { class: "optional" }, " (optional)")];
  const id = place.newId();
  const node = element(block.element, { ...place, id, dispatches: Boolean(block.dispatch_action) });
  node.setAttribute("aria-describedby", `${id}-hint ${id}-error`);
  return h(
    "div",
    { class: "input" },
    several ? h("div", { class: "label", id: `${id}-label` }, label) : h("label", { class: "label", for: id }, label),
    node,
    h("p", { class: "hint", id: `${id}-hint`, hidden: !block.hint }, textObject(block.hint)),
    h("p", { class: "error", id: `${id}-error`, role: "alert", hidden: true }),
  );
}

function table(block, { people }) {
  const [head = [], ...rows] = block.rows;
  const settings = block.column_settings ?? [];
  const cell = (tag, scope) => (content, index) =>
    h(
      tag,
      {
        class: [
          `align-${settings[index]?.align ?? (content.type === "raw_number" ? "right" : "left")}`,
          settings[index]?.is_wrapped && "wrapped",
        ],
        scope,
      },
      content.type === "rich_text" ? richText(content, people) : plain(content.text),
    );
  return h(
    "div",
    { class: "table-wrap", tabindex: "0", role: "region", "aria-label": block.caption ?? "Table" },
    h(
      "table",
      {},
      block.caption && h("caption", {}, block.caption),
      h("thead", {}, h("tr", {}, head.map(cell("th", "col")))),
      h(
        "tbody",
        {},
        rows.map((row) => h("tr", {}, row.map(cell("td")))),
      ),
    ),
  );
}

const LEVELS = { error: "alert-danger", warning: "alert-warn", success: "alert-ok", info: "alert-info" };

function unknown(block) {
  return h("div", { class: "unknown" }, `A block of type “${block.type}”, which this page does not draw.`);
}

const BLOCKS = {
  header,
  section,
  context,
  actions,
  image,
  input,
  table,
  data_table: table,
  divider: () => h("hr"),
  rich_text: (block, { people }) => h("div", { class: "text rich" }, richText(block, people)),
  markdown: (block) => h("div", { class: "text markdown" }, markdown(block.text)),
  alert: (block, { people }) =>
    h("div", { class: ["text", "alert", LEVELS[block.level]] }, textObject(block.text, people)),
};

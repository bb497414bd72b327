/** Block Kit's confirmation dialog: nothing is sent until a person has said yes. */

import { h } from "./dom.js";
import { textObject } from "./mrkdwn.js";

let serial = 0;

/** Ask; resolves to true only for the confirming button (Escape, the backdrop and the other button are a no). */
export function confirm(spec, people) {
  const id = `confirm-${++serial}`;
  const danger = spec.style === "danger";
  const yes = h(
    "button",
    { value: "yes", class: ["btn", danger ? "btn-danger" : "btn-primary"] },
    textObject(spec.confirm, people),
  );
  const no = h("button", { value: "no", class: "btn" }, textObject(spec.deny, people));
  const dialog = h(
    "dialog",
    { class: "dialog confirm", role: "alertdialog", "aria-labelledby": id, "aria-describedby": `${id}-text` },
    h(
      "form",
      { method: "dialog" },
      h("h2", { id, class: "dialog-title" }, textObject(spec.title, people)),
      h("div", { id: `${id}-text`, class: "confirm-text" }, textObject(spec.text, people)),
      h("div", { class: "dialog-buttons" }, no, yes),
    ),
  );
  document.body.append(dialog);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close("no"));
  dialog.showModal();
  // A sleepy Enter must not confirm something dangerous.
  (danger ? no : yes).focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
  });
}

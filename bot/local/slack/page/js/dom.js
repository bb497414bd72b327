/** The one way that this page makes DOM: text only ever becomes a text node, so no message can become markup. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * An element. `props` are attributes, except `class`, `on` (listeners by event), `data` (dataset) and `prop`
 * (DOM properties). An attribute that is null, undefined or false is left out; true stands for an empty one.
 * Children are nodes, strings, or (nested) arrays of them; null, undefined and false are skipped.
 */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  const { class: classes, on, data, prop, ...attributes } = props ?? {};
  if (classes) node.className = [classes].flat().filter(Boolean).join(" ");
  for (const [event, listener] of Object.entries(on ?? {})) node.addEventListener(event, listener);
  Object.assign(node.dataset, data);
  Object.assign(node, prop);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...flat(children));
  return node;
}

/** Children as `append` takes them. */
export function flat(children) {
  return [children].flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/**
 * Make `parent`'s children be exactly `wanted`, without touching those that stay where they are.
 * A node that is moved or put back loses focus and any press that is under way; a live edit must cost neither.
 */
export function arrange(parent, wanted) {
  const keep = new Set(wanted);
  for (const child of [...parent.childNodes]) if (!keep.has(child)) child.remove();
  wanted.forEach((node, index) => {
    if (parent.childNodes[index] !== node) parent.insertBefore(node, parent.childNodes[index] ?? null);
  });
}

/** A line icon of 20 x 20, drawn with the text's colour. `paths` are SVG path data. */
function icon(...paths) {
  return () => {
    const svg = document.createElementNS(SVG, "svg");
    for (const [name, value] of Object.entries({ viewBox: "0 0 20 20", class: "icon", "aria-hidden": "true" }))
      svg.setAttribute(name, value);
    for (const d of paths) {
      const path = document.createElementNS(SVG, "path");
      path.setAttribute("d", d);
      svg.append(path);
    }
    return svg;
  };
}

export const icons = {
  close: icon("M5 5l10 10M15 5L5 15"),
  menu: icon("M3 6h14M3 10h14M3 14h14"),
  send: icon("M4 10h12M11 5l5 5-5 5"),
  more: icon("M5 10h.01M10 10h.01M15 10h.01"),
  lab: icon("M3 5h14v4H3zM3 11h14v4H3zM6 7h.01M6 13h.01"),
  eye: icon("M2 10s3-5 8-5 8 5 8 5-3 5-8 5-8-5-8-5z", "M10 8a2 2 0 100 4 2 2 0 000-4z"),
  thread: icon("M4 4h12v9H9l-4 3v-3H4z"),
  down: icon("M10 4v12M5 11l5 5 5-5"),
  balance: icon("M10 3v5M10 8l-6 3.5V16M10 8l6 3.5V16M10 8v8"),
  file: icon("M5 3h7l3 3v11H5zM12 3v3h3"),
};

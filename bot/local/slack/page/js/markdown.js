/** The markdown block's standard Markdown, as DOM: the part of CommonMark (and its tables) that Slack renders. */

import { h } from "./dom.js";
import { emojiNode, link } from "./mrkdwn.js";

const FENCE = /^ {0,3}(```+|~~~+)/;
const HEADING = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const TABLE_RULE = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

/** Markdown `text` as an array of nodes. */
export function markdown(text) {
  return blocks(String(text ?? "").split("\n"));
}

function blocks(rows) {
  const nodes = [];
  let paragraph = [];
  const flush = () => {
    if (paragraph.length) nodes.push(h("p", {}, lines(paragraph)));
    paragraph = [];
  };
  for (let i = 0; i < rows.length;) {
    const special =
      fence(rows, i) ?? heading(rows, i) ?? rule(rows, i) ?? quote(rows, i) ?? list(rows, i) ?? table(rows, i);
    if (special) {
      flush();
      nodes.push(special.node);
      i = special.next;
    } else {
      if (rows[i].trim()) paragraph.push(rows[i].trim());
      else flush();
      i++;
    }
  }
  flush();
  return nodes;
}

/** The index of the first row from `start` on that `test` is false for. */
function while_(rows, start, test) {
  let end = start;
  while (end < rows.length && test(rows[end])) end++;
  return end;
}

function fence(rows, at) {
  const open = FENCE.exec(rows[at])?.[1];
  if (!open) return null;
  const end = while_(rows, at + 1, (row) => !row.trim().startsWith(open));
  return { node: h("pre", { class: "code-block" }, h("code", {}, rows.slice(at + 1, end).join("\n"))), next: end + 1 };
}

function heading(rows, at) {
  const match = HEADING.exec(rows[at]);
  // A message is a small part of the page, so its headings start at the third level.
  return (
    match && {
      node: h(`h${Math.min(match[1].length + 2, 6)}`, { class: "md-heading" }, inline(match[2])),
      next: at + 1,
    }
  );
}

function rule(rows, at) {
  return RULE.test(rows[at]) ? { node: h("hr"), next: at + 1 } : null;
}

function quote(rows, at) {
  const end = while_(rows, at, (row) => QUOTE.test(row));
  return end === at
    ? null
    : { node: h("blockquote", {}, blocks(rows.slice(at, end).map((row) => row.replace(QUOTE, "")))), next: end };
}

function list(rows, at) {
  const first = ITEM.exec(rows[at]);
  if (!first) return null;
  const ordered = /\d/.test(first[2]);
  const node = h(ordered ? "ol" : "ul", ordered ? { start: Number.parseInt(first[2], 10) } : {});
  let next = at;
  while (next < rows.length) {
    const item = ITEM.exec(rows[next]);
    if (!item || item[1].length < first[1].length || /\d/.test(item[2]) !== ordered) break;
    const end = while_(rows, next + 1, (row) => /\S/.test(row) && row.search(/\S/) > item[1].length + 1);
    const inner = rows.slice(next + 1, end);
    node.append(
      h(
        "li",
        {},
        task(item[3]),
        inner.some((row) => ITEM.test(row)) ? blocks(inner) : lines(["", ...inner.map((row) => row.trim())]),
      ),
    );
    next = end;
  }
  return { node, next };
}

function task(text) {
  const match = /^\[([ xX])\]\s+(.*)$/.exec(text);
  if (!match) return inline(text);
  const done = match[1] !== " ";
  return [
    h("input", { type: "checkbox", disabled: true, checked: done, "aria-label": done ? "done" : "to do" }),
    " ",
    ...inline(match[2]),
  ];
}

function table(rows, at) {
  if (!rows[at].includes("|") || !TABLE_RULE.test(rows[at + 1] ?? "")) return null;
  const align = cells(rows[at + 1]).map((cell) =>
    cell.endsWith(":") ? (cell.startsWith(":") ? "center" : "right") : "left",
  );
  const end = while_(rows, at + 2, (row) => row.includes("|"));
  const line = (row, tag) =>
    h(
      "tr",
      {},
      cells(row).map((cell, i) => h(tag, { class: `align-${align[i] ?? "left"}` }, inline(cell))),
    );
  const body = rows.slice(at + 2, end).map((row) => line(row, "td"));
  return {
    node: h("div", { class: "table-wrap" }, h("table", {}, h("thead", {}, line(rows[at], "th")), h("tbody", {}, body))),
    next: end,
  };
}

const cells = (row) =>
  row
    .trim()
    .replace(/^\||\|$/g, "")
    .split(/(?<!\\)\|/)
    .map((cell) => cell.trim().replaceAll("\\|", "|"));

const lines = (rows) => rows.flatMap((row, index) => (index ? [h("br"), ...inline(row)] : inline(row)));

const nested = (tag) => (match) => h(tag, {}, inline(match[1]));
const RULES = [
  [/\\([!-/:-@[-`{-~])/y, (match) => match[1]],
  [/(`+)(.+?)\1(?!`)/y, (match) => h("code", {}, match[2].trim())],
  [/\*\*(?=\S)(.+?)(?<=\S)\*\*/y, nested("strong")],
  [/__(?=\S)(.+?)(?<=\S)__/y, nested("strong")],
  [/\*(?=\S)([^*]+?)(?<=\S)\*/y, nested("em")],
  [/(?<![\p{L}\p{N}])_(?=\S)([^_]+?)(?<=\S)_(?![\p{L}\p{N}])/uy, nested("em")],
  [/~~(?=\S)(.+?)(?<=\S)~~/y, nested("s")],
  [/!?\[([^\]]*)\]\(([^()\s]+)(?:\s+"[^"]*")?\)/y, (match) => link(match[2], match[1])],
  [/<(https?:\/\/[^<>\s]+)>/y, (match) => link(match[1])],
  [/https?:\/\/[^\s<>]*[^\s<>.,;:!?)'"\]*_]/y, (match) => link(match[0])],
  [/:([a-z0-9_+'-]+):/y, (match) => emojiNode(match[1])],
];

function inline(text) {
  const nodes = [];
  let pending = "";
  for (let at = 0; at < text.length;) {
    let found = null;
    for (const [pattern, make] of RULES) {
      pattern.lastIndex = at;
      const match = pattern.exec(text);
      if (match) {
        found = { node: make(match), length: match[0].length };
        break;
      }
    }
    if (found) {
      if (pending) nodes.push(pending);
      pending = "";
      nodes.push(found.node);
      at += found.length;
    } else pending += text[at++];
  }
  if (pending) nodes.push(pending);
  return nodes;
}

/** The page, put together: who sees what, and where each press goes. */

import { BlockList } from "./blocklist.js";
import { Composer } from "./composer.js";
import { arrange, flat, h, icons } from "./dom.js";
import { Flight } from "./flight.js";
import { Link } from "./link.js";
import { Modals } from "./modals.js";
import { escape } from "./mrkdwn.js";
import { Panel } from "./panel.js";
import { Sidebar } from "./sidebar.js";
import { Store } from "./state.js";
import { Timeline } from "./timeline.js";

const LOST =
  "The connection to the stand-in broke before it answered. It may have been done all the same: look before you repeat it.";
const OFFLINE = "Not sent: there is no connection to the stand-in. It is tried again by itself.";

const store = new Store(localStorage);
const flight = new Flight();
const link = new Link({ receive, online });
let isOnline = false;

function receive(event) {
  if (event.type === "settled") flight.settle(event.id);
  else if (event.type === "notice") store.note(event.channel, event.text);
  else {
    modals.receive(event);
    store.receive(event);
  }
}

function online(yes) {
  isOnline = yes;
  if (!yes) flight.abandon();
  schedule();
}

/** Send something that will be answered and then call `settled`. Returns whether it went out; if not, says so. */
function dispatch(message, settled) {
  const channelId = store.current;
  let sent = false;
  const id = flight.begin((answered) => {
    settled();
    if (!answered) store.note(channelId, sent ? LOST : OFFLINE);
  });
  sent = link.send({ ...message, id });
  if (!sent) flight.settle(id, false);
  return sent;
}

/** The same for a button or a field, which shows that it is under way. */
function dispatchFrom(node, message) {
  node.setAttribute("aria-busy", "true");
  dispatch(message, () => node.removeAttribute("aria-busy"));
}

// --- what people do ---

function actOnMessage(message, blockId, element, node) {
  const where = { channel: store.current, ts: message.ts, block_id: blockId };
  const shown = [channelTimeline, threadTimeline]
    .map((timeline) => timeline.views.get(message.ts))
    .find((view) => view?.node.contains(node));
  dispatchFrom(node, {
    type: "action",
    ...where,
    action_id: element.action_id,
    element,
    state: { values: shown?.values() ?? {} },
  });
}

function actInView(viewId, values, blockId, element, node) {
  dispatchFrom(node, {
    type: "action",
    view_id: viewId,
    block_id: blockId,
    action_id: element.action_id,
    element,
    state: { values },
  });
}

const modals = new Modals({
  people: store.people,
  act: actInView,
  submit: (viewId, state, node) => dispatchFrom(node, { type: "view_submit", view_id: viewId, state }),
  close: (viewId) => link.send({ type: "view_close", view_id: viewId }),
});

/** What a person writes, as Slack's client sends it: control characters as entities, names as mentions. */
function written(text) {
  const id = (list, name) => [...list.values()].find((item) => item.name === name)?.id;
  return escape(text)
    .replace(/(^|[\s(])@([\w.-]+)/g, (whole, before, name) =>
      id(store.users, name) ? `${before}<@${id(store.users, name)}>` : whole,
    )
    .replace(/(^|[\s(])#([\w-]+)/g, (whole, before, name) =>
      id(store.channels, name) ? `${before}<#${id(store.channels, name)}|${name}>` : whole,
    );
}

/** Whether a message for everybody went out; if not, the person is told and keeps the text. */
function say(message) {
  const sent = link.send({ type: "say", channel: store.current, ...message });
  if (!sent) store.note(store.current, OFFLINE);
  return sent;
}

function sendToChannel(text) {
  channelTimeline.toEnd();
  if (!text.startsWith("/")) return say({ text: written(text) });
  const row = h(
    "div",
    { class: "running", role: "status" },
    h("span", { class: "spinner", "aria-hidden": "true" }),
    h("code", {}, text),
  );
  running.append(row);
  return dispatch({ type: "command", channel: store.current, text }, () => row.remove());
}

function sendToThread(text) {
  if (text.startsWith("/")) {
    store.note(store.current, `${text.split(" ")[0]} is not supported in threads. Sorry!`);
    return false;
  }
  return say({ text: written(text), thread_ts: store.thread });
}

function become(userId) {
  history.replaceState(null, "", `?as=${encodeURIComponent(userId)}`);
  store.thread = null;
  link.connect(userId);
}

// --- what people see ---

const desk = {
  people: store.people,
  users: () => store.users,
  act: actOnMessage,
  openThread: (ts) => store.openThread(ts),
};
const channelTimeline = new Timeline(desk, "Messages");
const threadTimeline = new Timeline(desk, "Thread", true);
const memory = () => `sent:${store.me?.id}`;
const composer = new Composer({
  send: sendToChannel,
  commands: () => store.commands,
  label: "Message",
  storage: localStorage,
  memory,
});
const threadComposer = new Composer({
  send: sendToThread,
  commands: () => [],
  label: "Reply…",
  storage: localStorage,
  memory,
});
const sidebar = new Sidebar({ open: enter, become, closer: closer() });
const panel = new Panel({ press: (action, settled) => dispatch({ type: "panel", action }, settled), closer: closer() });
const home = new BlockList({
  people: store.people,
  act: (...chosen) => actInView(store.home.id, home.values(), ...chosen),
});

const running = h("div", { class: "running-list" });
const banner = h("div", { class: "banner", role: "status", hidden: true });
const title = h("h1", { class: "pane-title" });
const topic = h("p", { class: "pane-note" });
const intro = h("div", { class: "intro" });
const threadNote = h("p", { class: "pane-note" });

/** Where there is a keyboard, what one types goes into the composer; a phone's keyboard waits to be asked for. */
function settle() {
  if (matchMedia("(pointer: fine)").matches) composer.field.focus();
}

function enter(channelId) {
  store.open(channelId);
  show(null);
  settle();
}

function closer() {
  return h(
    "button",
    { type: "button", class: "btn-bare only-narrow", "aria-label": "Close", on: { click: () => show(null) } },
    icons.close(),
  );
}

/** On a narrow screen one of the side panes covers the conversation; null shows the conversation. */
function show(pane) {
  document.body.dataset.pane = pane ?? "";
  if (pane) document.getElementById(pane).querySelector(".btn-bare").focus();
  for (const button of [menuButton, labButton])
    button.setAttribute("aria-expanded", String(button.getAttribute("aria-controls") === pane));
}

const toggle = (pane, label, icon) =>
  h(
    "button",
    {
      type: "button",
      class: "btn-bare only-narrow",
      "aria-label": label,
      "aria-controls": pane,
      "aria-expanded": "false",
      on: { click: () => show(document.body.dataset.pane === pane ? null : pane) },
    },
    icon(),
  );
const menuButton = toggle("sidebar", "Channels and people", icons.menu);
const labButton = toggle("panel", "Lab switches", icons.lab);

const conversation = h(
  "main",
  { class: "conversation" },
  h("header", { class: "pane-head" }, menuButton, h("div", {}, title, topic), labButton),
  banner,
  channelTimeline.node,
  h("div", { class: "foot" }, running, composer.node),
);
const closeThread = () => (store.openThread(null), settle());
const threadPane = h(
  "section",
  {
    class: "thread",
    "aria-label": "Thread",
    hidden: true,
    on: { keydown: (event) => event.key === "Escape" && !event.defaultPrevented && closeThread() },
  },
  h(
    "header",
    { class: "pane-head" },
    h("div", {}, h("h2", { class: "pane-title" }, "Thread"), threadNote),
    h(
      "button",
      { type: "button", class: "btn-bare", "aria-label": "Close thread", on: { click: closeThread } },
      icons.close(),
    ),
  ),
  threadTimeline.node,
  h("div", { class: "foot" }, threadComposer.node),
);
const shade = h("div", { class: "shade", on: { click: () => show(null) } });

function render() {
  const { channel } = store;
  banner.hidden = isOnline && store.appConnected;
  banner.textContent = isOnline
    ? "The bot is not connected: commands and buttons will fail until it is."
    : "No connection to the stand-in. Trying again…";
  banner.classList.toggle("banner-danger", !isOnline);
  if (!channel) return;
  if (document.visibilityState === "visible") store.markRead();
  sidebar.render(store);
  panel.render(store.panel);
  document.body.classList.toggle("has-panel", store.panel.length > 0);
  const name = `${channel.is_im ? "@" : "#"}${channel.name}`;
  title.textContent = name;
  topic.textContent = channel.topic ?? "";
  composer.rename(`Message ${name}`);
  renderIntro(channel, name);
  channelTimeline.render(store.topLevel(channel), { firstNew: store.firstNew, intro });
  renderThread(name);
  const unread = [...store.channels.values()].reduce((sum, other) => sum + store.unreadIn(other).length, 0);
  document.title = `${unread ? `(${unread}) ` : ""}${name} · ${store.team?.name ?? ""}`;
}

function renderIntro(channel, name) {
  const atHome = channel.is_im && store.home;
  if (atHome) home.update(store.home.blocks ?? []);
  const words = channel.is_im
    ? "What you and the app say here, nobody else sees."
    : "This is where the channel begins.";
  const key = JSON.stringify([name, Boolean(atHome)]);
  if (intro.dataset.key === key) return;
  intro.dataset.key = key;
  arrange(intro, flat([h("h2", {}, name), h("p", {}, words), atHome && home.node]));
}

function renderThread(name) {
  threadPane.hidden = !store.thread;
  document.body.classList.toggle("has-thread", Boolean(store.thread));
  if (!store.thread) return;
  threadNote.textContent = name;
  threadTimeline.render(store.threadMessages());
}

let scheduled = false;

/** Draw once for all that has just arrived. */
function schedule() {
  if (scheduled) return;
  scheduled = true;
  setTimeout(() => {
    scheduled = false;
    render();
  });
}

store.addEventListener("change", ({ detail }) => {
  if (detail.opened) channelTimeline.reset();
  if (detail.thread) {
    threadTimeline.reset();
    setTimeout(() => threadComposer.field.focus());
  }
  if (detail.arrived && detail.channel === store.current) channelTimeline.arrived();
  schedule();
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") store.lookAgain();
  schedule();
});
document.addEventListener("keydown", (event) => event.key === "Escape" && show(null));

document.body.append(sidebar.node, conversation, threadPane, panel.node, shade);
show(null);
settle();
link.connect(new URLSearchParams(location.search).get("as") ?? "");

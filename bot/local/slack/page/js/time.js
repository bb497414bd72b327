/** Moments as people read them. Slack's timestamps are texts of Unix seconds with six decimals, unique in a channel. */

const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const seconds = new Intl.DateTimeFormat([], {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const full = new Intl.DateTimeFormat([], { dateStyle: "full", timeStyle: "medium" });
const year = new Intl.DateTimeFormat([], { year: "numeric" });

const dates = {
  date_num: new Intl.DateTimeFormat("sv", { year: "numeric", month: "2-digit", day: "2-digit" }),
  date_slash: new Intl.DateTimeFormat([], { year: "numeric", month: "2-digit", day: "2-digit" }),
  date: new Intl.DateTimeFormat("en", { year: "numeric", month: "long", day: "numeric" }),
  date_short: new Intl.DateTimeFormat("en", { year: "numeric", month: "short", day: "numeric" }),
  date_long: new Intl.DateTimeFormat("en", { weekday: "long", year: "numeric", month: "long", day: "numeric" }),
};

/** The Date of a Slack timestamp. */
export const moment = (ts) => new Date(Number(ts) * 1000);

/** The hour and minute of a Slack timestamp, in the reader's time zone. */
export const timeOf = (ts) => clock.format(moment(ts));

/** Everything about a Slack timestamp, for a tooltip. */
export const inFull = (ts) => full.format(moment(ts));

/** "Today", "Yesterday", or the day's long name; the year only where it is not this one. */
export function dayOf(ts, now = new Date()) {
  const at = moment(ts);
  const near = relativeDay(at, now);
  if (near) return near[0].toUpperCase() + near.slice(1);
  const options = { weekday: "long", month: "long", day: "numeric" };
  if (year.format(at) !== year.format(now)) options.year = "numeric";
  return new Intl.DateTimeFormat("en", options).format(at);
}

function relativeDay(at, now) {
  const midnight = (date) => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();
  const days = Math.round((midnight(at) - midnight(now)) / 86_400_000);
  return { "-1": "yesterday", 0: "today", 1: "tomorrow" }[days] ?? null;
}

/** "3 minutes ago", "in 2 hours": what Slack's {ago} prints. */
function ago(at, now) {
  const format = new Intl.RelativeTimeFormat("en", { numeric: "auto" });
  const away = (at - now) / 1000;
  for (const [unit, length] of [
    ["day", 86_400],
    ["hour", 3600],
    ["minute", 60],
  ])
    if (Math.abs(away) >= length) return format.format(Math.round(away / length), unit);
  return format.format(Math.round(away), "second");
}

/**
 * Slack's date formatting: `format` with {date}, {date_short_pretty}, {time}, {time_secs}, {ago} … filled in for `unix`
 * seconds (docs.slack.dev, "Formatting text for app surfaces"). An unknown token stays as it is.
 */
export function formatDate(unix, format, now = new Date()) {
  const at = new Date(Number(unix) * 1000);
  const tokens = { time: () => clock.format(at), time_secs: () => seconds.format(at), ago: () => ago(at, now) };
  for (const [name, formatter] of Object.entries(dates)) {
    tokens[name] = () => formatter.format(at);
    tokens[`${name}_pretty`] = () => relativeDay(at, now) ?? formatter.format(at);
  }
  return format.replace(/\{(\w+)\}/g, (whole, name) => tokens[name]?.() ?? whole);
}

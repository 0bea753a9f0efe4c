// Words in the reader's language, from the page itself: one table for server and script.
const words = JSON.parse(document.getElementById("messages").textContent);

/** @param {string} id @param {Record<string, string | number>} [args] */
export function say(id, args = {}) {
  let text = words[id] ?? `⟦${id}⟧`;
  for (const [name, value] of Object.entries(args)) text = text.replace(`{${name}}`, () => String(value));
  return text;
}

export const hasWord = (id) => id in words;
export const isChinese = document.documentElement.lang.startsWith("zh");
export const title = (alert) => (isChinese ? alert.title_zh : alert.title);

const zone = document.body.dataset.zone || "UTC";
const make = (options) => {
  try { return new Intl.DateTimeFormat("en-GB", { ...options, timeZone: zone, hourCycle: "h23" }); }
  catch { return new Intl.DateTimeFormat("en-GB", { ...options, timeZone: "UTC", hourCycle: "h23" }); }
};
const clockFormat = make({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayFormat = make({ month: "2-digit", day: "2-digit" });

/** `16:00:05`, in the console's time zone. */
export const clock = (text) => (text ? clockFormat.format(new Date(text)) : "");
/** `23/11 16:00:05`. */
export const dayClock = (text) => (text ? `${dayFormat.format(new Date(text)).split("/").reverse().join("-")} ${clock(text)}` : "");

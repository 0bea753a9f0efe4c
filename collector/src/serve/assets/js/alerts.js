// The live alert list.
import { say, title, isChinese, dayClock } from "./say.js";
import { openFeed } from "./feed.js";
import { showLink } from "./link.js";
import { AlertList, parties, sectorName, severityMark, unitName } from "./list.js";
import { triage, mayTriage } from "./triage.js";
import { helpDialog, shortcutsOn } from "./keys.js";

const page = document.getElementById("console");
const form = document.querySelector(".filter");
const preview = document.getElementById("preview");
const idlePreview = preview.innerHTML;
const newbar = document.getElementById("newbar");
const plain = page.dataset.plain === "true";
const state = form.elements.state.value;
let next = page.dataset.next;
let loading = false;

const element = (name, className, ...children) => {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.append(...children);
  return made;
};

const list = new AlertList(document.getElementById("grid"), {
  onSelect: showPreview,
  onPending: (count) => {
    newbar.hidden = count === 0;
    if (count) newbar.textContent = `${say("js.new", { count })} · ${say("js.new.show")}`;
  },
  onNearEnd: () => { if (next && !loading) loadMore(); },
});
newbar.addEventListener("click", () => { list.select(null); list.admit(); });

function query(extra) {
  const params = new URLSearchParams({ q: form.elements.q.value, severity: form.elements.severity.value, state, ...extra });
  return `/api/v1/alerts?${params}`;
}

async function get(address) {
  const response = await fetch(address, { credentials: "same-origin", cache: "no-store" });
  if (!response.ok) throw new Error(String(response.status));
  return response.json();
}

async function loadMore() {
  loading = true;
  try {
    const answer = await get(query({ limit: 500, cursor: next }));
    next = answer.next ?? "";
    list.merge(answer.items);
  } catch { /* the badge says whether the link stands; scrolling tries again */ }
  loading = false;
}

// With a filter the server decides what belongs here: ask again, at most every half second.
let asked = 0;
function askAgain() {
  if (asked) return;
  asked = setTimeout(async () => {
    asked = 0;
    try { announce(list.merge((await get(query({ limit: 200 }))).items, { live: true })); emptyState(); } catch { /* next change asks again */ }
  }, 500);
}

const stateFits = (alert) => (state === "open" ? alert.state !== "closed" : state === "all" || alert.state === state);

// Screen readers hear how many, not every row; a critical alert by its title, at once.
let unheard = 0, hearing = 0;
function announce(added, alert) {
  if (!added) return;
  if (alert?.severity === "critical") document.getElementById("assertive").textContent = say("js.announce.critical", { title: title(alert) });
  unheard += added;
  if (!hearing) hearing = setTimeout(() => { document.getElementById("polite").textContent = say("js.announce", { count: unheard }); unheard = 0; hearing = 0; }, 3000);
}

// A filter the server could not read: the page says what is wrong, and an empty list must not look calm beside it.
const broken = document.querySelector(".filter .problem") !== null;

function emptyState() {
  if (broken) return;
  let box = document.getElementById("empty");
  if (list.alerts.size > 0) { box?.remove(); return; }
  if (!box) {
    box = element("div", "empty", element("h2", "", say(plain ? "js.empty.title" : "js.empty.filtered")), element("p", "", plain ? say("js.empty.why") : ""));
    box.id = "empty";
    document.querySelector(".list").append(box);
  }
}

let counting = 0;
function refreshCounts() {
  if (counting) return;
  counting = setTimeout(async () => {
    counting = 0;
    try {
      const stats = await get("/api/v1/stats");
      document.getElementById("counts").replaceChildren(...["critical", "high", "medium", "low"].map((severity) => {
        const glyph = element("i", "glyph");
        return element("span", `sev-${severity}`, element("span", "c-sev", glyph, say(`severity.${severity}`)), element("b", "", String(stats.open_by_severity[severity] ?? 0)));
      }));
    } catch { /* counts are a convenience */ }
  }, 400);
}

function showPreview(alert) {
  if (!alert) { preview.innerHTML = idlePreview; return; }
  const mark = element("span", "c-sev", ...severityMark(alert));
  const link = element("a", "", title(alert));
  link.href = `/alerts/${alert.id}`;
  const facts = element("dl", "");
  const fact = (id, text) => { if (text) facts.append(element("dt", "", say(id)), element("dd", "", text)); };
  fact("js.fact.units", alert.units.map((u) => `${unitName(u)} (${sectorName(u.sector)})`).join(", "));
  fact("js.fact.parties", parties(alert));
  fact("js.fact.hosts", alert.hosts.join(", "));
  fact("js.fact.users", alert.users.join(", "));
  fact("js.fact.times", `${dayClock(alert.first_time)} – ${dayClock(alert.last_time)}`);
  fact("js.fact.events", String(alert.event_count));
  fact("js.fact.techniques", alert.techniques.map((t) => t.uid).join(", "));
  fact("js.fact.state", alert.owner ? `${say(`state.${alert.state}`)} · ${alert.owner}` : say(`state.${alert.state}`));
  const reasons = element("ol", "reasons", ...alert.reasons.map((r) => element("li", "", isChinese ? r.text.zh : r.text.en)));
  const buttons = element("div", "buttons");
  const button = (id, key, action, main) => {
    const made = element("button", main ? "main" : "", say(id), element("kbd", "", key));
    made.type = "button";
    made.addEventListener("click", action);
    buttons.append(made);
  };
  if (mayTriage && alert.state !== "closed") {
    button("js.ack", "a", () => judge("acknowledge"), true);
    button("js.investigate", "i", () => judge("investigate"), false);
  }
  button("js.open", "↵", () => { location.href = link.href; }, false);
  preview.replaceChildren(element("div", `sev-${alert.severity}`, mark), element("h2", "", link), element("h3", "", say("js.why")), reasons, facts, buttons);
}

async function judge(action) {
  const alert = list.current();
  if (!alert) return;
  const { alert: now, words } = await triage(alert, action);
  list.merge([now]);
  toast(words);
}

let toasting = 0;
function toast(words) {
  const box = document.getElementById("toast");
  box.textContent = words;
  box.hidden = false;
  clearTimeout(toasting);
  toasting = setTimeout(() => { box.hidden = true; }, 4000);
}

const keys = {
  j: () => list.move(1), ArrowDown: () => list.move(1), k: () => list.move(-1), ArrowUp: () => list.move(-1),
  PageDown: () => list.move(list.pageSize()), PageUp: () => list.move(-list.pageSize()), Home: () => list.move(-1e9), End: () => list.move(1e9),
  Enter: () => { if (list.selected) location.href = `/alerts/${list.selected}`; },
  a: () => judge("acknowledge"), i: () => judge("investigate"), e: () => judge("escalate"),
  "/": () => form.elements.q.focus(), "?": () => helpDialog(),
  y: () => { if (list.selected) navigator.clipboard?.writeText(`${location.origin}/alerts/${list.selected}`).then(() => toast(say("js.copied"))); },
  Escape: () => { list.select(null); },
};
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  const typing = event.target.closest("input, textarea, select, dialog");
  if (typing) { if (event.key === "Escape" && typing.matches("input")) document.getElementById("grid").focus(); return; }
  if (event.key === "Enter" && event.target.closest("a, button")) return;
  const act = keys[event.key];
  if (!act || (event.key.length === 1 && event.key !== "?" && !shortcutsOn())) return;
  event.preventDefault();
  act();
});

list.reset(JSON.parse(document.getElementById("first").textContent));
emptyState();
refreshCounts();

openFeed({
  after: page.dataset.feed,
  asOf: page.dataset.now,
  onAlert: (alert) => {
    const known = list.alerts.has(alert.id);
    if (broken) { refreshCounts(); return; }
    if (known) list.merge([alert], { live: true });
    else if (!plain) askAgain();
    else if (stateFits(alert)) announce(list.merge([alert], { live: true }), alert);
    emptyState();
    refreshCounts();
  },
  onResync: async () => {
    try { const answer = await get(query({ limit: 500 })); next = answer.next ?? ""; list.reset(answer.items); emptyState(); } catch { /* the next resync tries again */ }
  },
  onLink: showLink,
});

// One alert, live: says when somebody or the engine has changed it, and takes the same keys as the list. Judging itself is the form.
import { say } from "./say.js";
import { openFeed } from "./feed.js";
import { showLink } from "./link.js";
import { helpDialog, shortcutsOn } from "./keys.js";

const alert = document.getElementById("alert");
const form = document.getElementById("triage");
const changed = document.getElementById("changed");

function tellChanged() {
  const again = document.createElement("a");
  again.href = location.pathname;
  again.textContent = say("js.reload");
  changed.replaceChildren(say("js.changed"), " ", again);
  changed.hidden = false;
}

openFeed({
  after: "",
  asOf: new Date().toISOString(),
  onAlert: (now) => { if (now.id === alert.dataset.id && now.revision > Number(alert.dataset.revision)) tellChanged(); },
  onResync: tellChanged,
  onLink: showLink,
});

const press = (action) => form?.querySelector(`button[value="${action}"]`)?.click();
const keys = { a: () => press("acknowledge"), i: () => press("investigate"), e: () => press("escalate"), f: () => form?.elements.reason?.focus(), Escape: () => { location.href = "/"; }, "?": () => helpDialog() };
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.target.closest("input, textarea, select, dialog")) return;
  const act = keys[event.key];
  if (!act || (event.key.length === 1 && event.key !== "?" && !shortcutsOn())) return;
  event.preventDefault();
  act();
});

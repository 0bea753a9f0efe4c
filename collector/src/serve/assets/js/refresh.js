// A page that reads itself again every five seconds, in place, while it is looked at.
import { showLink } from "./link.js";

const EVERY_MS = 5000;
let heard = performance.now();
let asOf = document.getElementById("refresh").dataset.now ?? new Date().toISOString();
let live = true;

async function again() {
  if (document.hidden) return;
  try {
    const response = await fetch(location.href, { credentials: "same-origin", cache: "no-store", headers: { Accept: "text/html" } });
    if (response.redirected) { location.reload(); return; }
    if (!response.ok) throw new Error(String(response.status));
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const fresh = page.getElementById("refresh");
    const old = document.getElementById("refresh");
    if (fresh && !old.contains(document.activeElement)) old.replaceWith(document.importNode(fresh, true));
    heard = performance.now();
    asOf = fresh?.dataset.now ?? new Date().toISOString();
    live = true;
  } catch { live = false; }
}

setInterval(again, EVERY_MS);
setInterval(() => showLink({ live: live && performance.now() - heard < 3 * EVERY_MS, asOf, lostSeconds: Math.floor((performance.now() - heard) / 1000) }), 1000);

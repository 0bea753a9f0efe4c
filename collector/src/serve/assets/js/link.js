// The badge that says how old what you see is. Stale must never look calm.
import { say, clock } from "./say.js";

export function showLink({ live, asOf, lostSeconds }) {
  const badge = document.getElementById("link");
  if (!badge) return;
  badge.hidden = false;
  badge.removeAttribute("title");
  const wasLost = badge.classList.contains("lost");
  const lost = !live && lostSeconds >= 2;
  badge.className = `link ${live ? "live" : lost ? "lost" : "idle"}`;
  badge.textContent = live ? say("js.live", { time: clock(asOf) }) : lost ? say("js.lost", { seconds: lostSeconds, time: clock(asOf) }) : say("js.connecting");
  document.body.classList.toggle("stale", lost);
  if (lost && !wasLost) {
    const assertive = document.getElementById("assertive");
    if (assertive) assertive.textContent = badge.textContent;
  }
}

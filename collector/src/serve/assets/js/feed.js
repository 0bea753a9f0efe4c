// The live feed, read with fetch so that heartbeats (comments) are heard too: only they tell a quiet city from a dead link.
// Ids are `epoch-number`; what was seen already is dropped, so a resumed stream shows nothing twice.

/** Seconds without a byte after which the link counts as lost; the server sends one every five. */
export const PATIENCE_S = 12;

/**
 * @param {{after: string, onAlert: (alert: object) => void, onResync: () => void, onLink: (state: {live: boolean, asOf: string, lostSeconds: number}) => void, asOf: string}} options
 */
export function openFeed({ after, onAlert, onResync, onLink, asOf }) {
  let position = after;
  let heard = performance.now();
  let live = false;
  let time = asOf;
  let stopped = false;
  let abort = new AbortController();

  const tell = () => onLink({ live, asOf: time, lostSeconds: Math.floor((performance.now() - heard) / 1000) });

  function take(block) {
    let name = "message", data = "", id = "";
    for (const line of block.split("\n")) {
      if (line.startsWith(":")) { const t = line.slice(1).trim(); if (t) time = t; continue; }
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (field === "event") name = value;
      else if (field === "data") data += value;
      else if (field === "id") id = value;
    }
    if (!data) return;
    if (id) {
      const [epoch, number] = id.split("-").map(Number);
      const [haveEpoch, have] = position.split("-").map(Number);
      if (name !== "resync" && epoch === haveEpoch && number <= have) return;
      position = id;
    }
    if (name === "resync") onResync();
    else if (name === "alert") { const told = JSON.parse(data); time = told.alert.updated_time > time ? told.alert.updated_time : time; onAlert(told.alert); }
  }

  async function read() {
    abort = new AbortController();
    const response = await fetch("/api/v1/feed", {
      headers: position ? { "Last-Event-ID": position, Accept: "text/event-stream" } : { Accept: "text/event-stream" },
      signal: abort.signal, cache: "no-store", credentials: "same-origin",
    });
    if (response.status === 401) { location.reload(); stopped = true; return; }
    if (!response.ok || !response.body) throw new Error(String(response.status));
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      heard = performance.now();
      if (!live) live = true;
      rest += value;
      let end;
      while ((end = rest.indexOf("\n\n")) >= 0) { take(rest.slice(0, end)); rest = rest.slice(end + 2); }
      tell();
    }
  }

  async function run() {
    let wait = 500;
    while (!stopped) {
      try { await read(); wait = 500; } catch { /* the badge says it */ }
      if (stopped) return;
      live = false;
      tell();
      await new Promise((go) => setTimeout(go, wait + Math.random() * 250));
      wait = Math.min(wait * 2, 8000);
    }
  }

  const ticker = setInterval(() => {
    if (live && performance.now() - heard > PATIENCE_S * 1000) { live = false; abort.abort(); }
    tell();
  }, 1000);
  run();
  return { stop() { stopped = true; clearInterval(ticker); abort.abort(); }, position: () => position };
}

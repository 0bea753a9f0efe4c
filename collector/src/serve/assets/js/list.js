// The alert list: a map of alerts, an order that never moves under the cursor, and a window of rows over it.
// The cursor follows the alert's id, not its row. New alerts wait behind the "N new" bar while something is chosen or the list
// is scrolled; alerts already shown change in place.
import { say, title, clock, hasWord } from "./say.js";

const ROW = 30;
const SPARE = 8;
const CELLS = ["sev", "time", "unit", "sector", "title", "parties", "count", "first", "state"];

const later = (a, b) => (a.opened_time < b.opened_time ? 1 : a.opened_time > b.opened_time ? -1 : a.id < b.id ? 1 : -1);

export class AlertList {
  /** @param {HTMLElement} grid @param {{onSelect: (alert: any) => void, onPending: (count: number) => void, onNearEnd: () => void}} handlers */
  constructor(grid, handlers) {
    this.grid = grid;
    this.handlers = handlers;
    this.alerts = new Map();
    this.order = [];
    this.pending = new Set();
    this.fresh = new Set();
    this.selected = null;
    this.pool = [];
    this.frame = 0;
    grid.replaceChildren();
    this.rows = grid.appendChild(document.createElement("div"));
    this.rows.className = "rows";
    this.rows.setAttribute("role", "rowgroup");
    grid.addEventListener("scroll", () => this.draw(), { passive: true });
    new ResizeObserver(() => this.draw()).observe(grid);
    this.rows.addEventListener("click", (event) => {
      const row = event.target.closest("[data-id]");
      if (row) this.select(row.dataset.id);
    });
    this.rows.addEventListener("dblclick", (event) => {
      const row = event.target.closest("[data-id]");
      if (row) location.href = `/alerts/${row.dataset.id}`;
    });
  }

  /** A fresh list, for example after a resync; what is chosen stays chosen. */
  reset(alerts) {
    this.alerts = new Map(alerts.map((a) => [a.id, a]));
    this.order = alerts.slice().sort(later).map((a) => a.id);
    this.pending.clear();
    if (this.selected && !this.alerts.has(this.selected)) this.selected = null;
    this.handlers.onPending(0);
    this.draw();
  }

  /** Further pages and changes: known alerts change in place, others come in (or wait). */
  merge(alerts, { live = false } = {}) {
    const hold = live && (this.selected !== null || this.grid.scrollTop > ROW / 2);
    let added = 0;
    for (const alert of alerts) {
      const known = this.alerts.get(alert.id);
      if (known) {
        if (alert.revision < known.revision) continue;
        this.alerts.set(alert.id, alert);
        if (live && !this.pending.has(alert.id)) this.fresh.add(alert.id);
        if (alert.id === this.selected) this.handlers.onSelect(alert);
      } else {
        this.alerts.set(alert.id, alert);
        added += 1;
        if (hold) this.pending.add(alert.id);
        else { this.insert(alert); if (live) this.fresh.add(alert.id); }
      }
    }
    this.handlers.onPending(this.pending.size);
    this.draw();
    return added;
  }

  insert(alert) {
    let low = 0, high = this.order.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (later(this.alerts.get(this.order[middle]), alert) < 0) low = middle + 1; else high = middle;
    }
    this.order.splice(low, 0, alert.id);
  }

  /** Lets in what waits behind the bar. */
  admit() {
    for (const id of this.pending) { this.insert(this.alerts.get(id)); this.fresh.add(id); }
    this.pending.clear();
    this.handlers.onPending(0);
    this.grid.scrollTop = 0;
    this.draw();
  }

  select(id) {
    this.selected = id;
    if (id !== null) this.reveal(this.order.indexOf(id));
    this.handlers.onSelect(id === null ? null : this.alerts.get(id));
    this.draw();
  }

  move(by) {
    if (this.order.length === 0) return;
    const at = this.selected === null ? (by > 0 ? -1 : this.order.length) : this.order.indexOf(this.selected);
    const to = Math.max(0, Math.min(this.order.length - 1, at + by));
    this.select(this.order[to]);
  }

  reveal(at) {
    if (at < 0) return;
    const top = at * ROW, view = this.grid.clientHeight;
    if (top < this.grid.scrollTop) this.grid.scrollTop = top;
    else if (top + ROW > this.grid.scrollTop + view) this.grid.scrollTop = top + ROW - view;
  }

  pageSize() { return Math.max(1, Math.floor(this.grid.clientHeight / ROW) - 1); }
  current() { return this.selected === null ? null : this.alerts.get(this.selected); }

  draw() {
    if (!this.frame) this.frame = requestAnimationFrame(() => { this.frame = 0; this.paint(); });
  }

  paint() {
    const count = this.order.length;
    this.rows.style.height = `${count * ROW}px`;
    this.grid.setAttribute("aria-rowcount", String(count));
    const first = Math.max(0, Math.floor(this.grid.scrollTop / ROW) - SPARE);
    const last = Math.min(count, Math.ceil((this.grid.scrollTop + this.grid.clientHeight) / ROW) + SPARE);
    const need = Math.max(0, last - first);
    while (this.pool.length < need) this.pool.push(this.rows.appendChild(makeRow()));
    this.pool.forEach((row, n) => {
      const at = first + n;
      if (n >= need) { row.hidden = true; row.removeAttribute("data-id"); return; }
      const alert = this.alerts.get(this.order[at]);
      row.hidden = false;
      row.style.transform = `translateY(${at * ROW}px)`;
      row.setAttribute("aria-rowindex", String(at + 1));
      const selected = alert.id === this.selected;
      row.setAttribute("aria-selected", String(selected));
      row.id = `row-${alert.id}`;
      const key = `${alert.id}/${alert.revision}`;
      if (row.dataset.key !== key) { row.dataset.key = key; row.dataset.id = alert.id; fill(row, alert); }
      const fresh = this.fresh.has(alert.id);
      if (fresh) { this.fresh.delete(alert.id); row.classList.remove("fresh"); void row.offsetWidth; row.classList.add("fresh"); }
    });
    if (this.selected) this.grid.setAttribute("aria-activedescendant", `row-${this.selected}`);
    else this.grid.removeAttribute("aria-activedescendant");
    if (last >= count - SPARE) this.handlers.onNearEnd();
  }
}

function makeRow() {
  const row = document.createElement("div");
  row.setAttribute("role", "row");
  for (const name of CELLS) {
    const cell = row.appendChild(document.createElement("span"));
    cell.className = `c-${name}`;
    cell.setAttribute("role", "gridcell");
  }
  return row;
}

function more(cell, text, rest) {
  cell.textContent = text;
  if (rest > 0) {
    const mark = cell.appendChild(document.createElement("b"));
    mark.className = "more";
    mark.textContent = ` ${say("js.more.units", { count: rest })}`;
  }
}

export const unitName = (unit) => (hasWord(`unit.${unit.id}`) ? say(`unit.${unit.id}`) : unit.name);
export const sectorName = (id) => (hasWord(`sector.${id}`) ? say(`sector.${id}`) : id);

export function severityMark(alert) {
  const glyph = document.createElement("i");
  glyph.className = "glyph";
  glyph.setAttribute("aria-hidden", "true");
  return [glyph, say(`severity.${alert.severity}`)];
}

/** `source → target`, or the host where there is neither. */
export function parties(alert) {
  const side = (list) => (list.length === 0 ? "" : list.length === 1 ? list[0] : `${list[0]} +${list.length - 1}`);
  const source = side(alert.source_ips), target = side(alert.target_ips);
  if (!source && !target) return alert.hosts[0] ?? "";
  return target ? `${source} → ${target}`.trim() : source;
}

function fill(row, alert) {
  row.className = `row sev-${alert.severity} state-${alert.state}`;
  const [sev, time, unit, sector, text, who, count, first, state] = row.children;
  sev.replaceChildren(...severityMark(alert));
  time.textContent = clock(alert.last_time);
  more(unit, alert.units[0] ? unitName(alert.units[0]) : "", alert.units.length - 1);
  const sectors = [...new Set(alert.units.map((u) => u.sector))];
  more(sector, sectors.length ? sectorName(sectors[0]) : "", sectors.length - 1);
  text.textContent = title(alert);
  text.title = title(alert);
  who.textContent = parties(alert);
  count.textContent = alert.event_count.toLocaleString("en");
  first.textContent = clock(alert.first_time);
  state.textContent = alert.owner ? `${say(`state.${alert.state}`)} · ${alert.owner}` : say(`state.${alert.state}`);
}

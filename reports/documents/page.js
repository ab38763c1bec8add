"use strict";

const tip = document.getElementById("tip");

function showTip(mark) {
  tip.textContent = mark.dataset.tip;
  tip.hidden = false;
  const box = mark.getBoundingClientRect();
  const page = document.documentElement;
  const left = box.left + box.width / 2 - tip.offsetWidth / 2;
  const above = box.top - tip.offsetHeight - 6;
  tip.style.left = `${Math.max(4, Math.min(left, page.clientWidth - tip.offsetWidth - 4)) + scrollX}px`;
  tip.style.top = `${(above < 4 ? box.bottom + 6 : above) + scrollY}px`;
}

function hideTip() {
  tip.hidden = true;
}

// One stop of the Tab key for a chart; arrows lead from mark to mark.
function neighbour(marks, mark, key) {
  const at = marks.indexOf(mark);
  if (key === "Home") return marks[0];
  if (key === "End") return marks[marks.length - 1];
  const [along, across] = key === "ArrowLeft" || key === "ArrowRight" ? ["place", "series"] : ["series", "place"];
  const forward = key === "ArrowRight" || key === "ArrowUp";
  const distance = (other) => (other.dataset[along] - mark.dataset[along]) * (forward ? 1 : -1);
  const onLine = marks.filter((other) => other.dataset[across] === mark.dataset[across] && distance(other) > 0);
  if (onLine.length) return onLine.reduce((near, other) => (distance(other) < distance(near) ? other : near));
  const oneSeries = marks.every((other) => other.dataset.series === mark.dataset.series);
  if (along === "series" && oneSeries) return marks[at + (key === "ArrowDown" ? 1 : -1)];
  return undefined;
}

function askable(chart) {
  const all = [...chart.querySelectorAll(".mark")];
  const shown = () => all.filter((mark) => mark.getAttribute("visibility") !== "hidden");
  for (const mark of all) {
    mark.setAttribute("tabindex", mark === all[0] ? "0" : "-1");
    mark.addEventListener("mouseenter", () => showTip(mark));
    mark.addEventListener("mouseleave", hideTip);
    mark.addEventListener("focus", () => {
      mark.scrollIntoView({ block: "nearest", inline: "nearest" });
      showTip(mark);
    });
    mark.addEventListener("blur", hideTip);
    mark.addEventListener("keydown", (event) => {
      if (event.key === "Escape") hideTip();
      if (!/^(Arrow(Left|Right|Up|Down)|Home|End)$/.test(event.key)) return;
      event.preventDefault();
      neighbour(shown(), mark, event.key)?.focus();
    });
  }
  chart.addEventListener("focusin", (event) => {
    if (all.includes(event.target)) stopAt(all, event.target);
  });
  return { all, shown };
}

function stopAt(marks, stop) {
  for (const mark of marks) mark.setAttribute("tabindex", mark === stop ? "0" : "-1");
}

// What stands above a hidden part of a stack comes down by its height.
function restack(marks, hidden) {
  const down = {};
  for (const mark of marks) {
    const { series, place } = mark.dataset;
    if (hidden.has(series)) down[place] = (down[place] ?? 0) + mark.getBBox().height;
    else mark.setAttribute("transform", `translate(0 ${down[place] ?? 0})`);
  }
}

function toggleable(chart, marks) {
  const hidden = new Set();
  const stacked = chart.dataset.kind === "StackedBars";
  const named = (name) => chart.querySelectorAll(`[id^="${chart.querySelector("svg").id.replace(/svg$/, name)}"]`);
  const show = (element, shown) => element.setAttribute("visibility", shown ? "visible" : "hidden");
  const toggle = (entry, series) => {
    if (!hidden.delete(series)) hidden.add(series);
    entry.setAttribute("aria-pressed", String(!hidden.has(series)));
    for (const mark of marks.all) show(mark, !hidden.has(mark.dataset.series));
    for (const value of named(`value-${series}-`)) show(value, !hidden.has(series));
    for (const total of named("total-")) show(total, !hidden.size);
    if (stacked) restack(marks.all, hidden);
    stopAt(marks.all, marks.shown()[0]);
  };
  for (const entry of named("legend-")) {
    const [, series] = entry.id.match(/legend-(\d+)$/) ?? [];
    if (series === undefined) continue;
    const name = chart.querySelector(`#${entry.id.replace("legend-", "legend-name-")}`);
    entry.classList.add("entry");
    name.classList.add("entry");
    name.setAttribute("aria-hidden", "true");
    const attributes = { role: "button", tabindex: "0", "aria-pressed": "true", "aria-label": name.textContent.trim() };
    for (const [key, value] of Object.entries(attributes)) entry.setAttribute(key, value);
    for (const element of [entry, name]) element.addEventListener("click", () => toggle(entry, series));
    entry.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      toggle(entry, series);
    });
  }
}

const UNITS = {
  ms: 1e-3, s: 1, min: 60, h: 3600, day: 86400, days: 86400,
  B: 1, kB: 1e3, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12, KiB: 2 ** 10, MiB: 2 ** 20, GiB: 2 ** 30, TiB: 2 ** 40,
};

// A cell's figure in the smallest of its units; undefined for text.
function figure(text) {
  const parts = text.replace(/,/g, "").match(/^[^\d+−-]*([+−-]?)[^\d.]*(\d*\.?\d+(?:e[+-]?\d+)?)\s*([^\d\s(]*)/i);
  if (!parts) return undefined;
  const size = Number(parts[2]) * (UNITS[parts[3]] ?? 1);
  return parts[1] && parts[1] !== "+" ? -size : size;
}

function compare(one, other) {
  const [a, b] = [figure(one), figure(other)];
  if (a !== undefined && b !== undefined && a !== b) return a - b;
  return one.localeCompare(other, "en", { numeric: true });
}

// What has no value stays last, whichever way the others go.
function ordered(rows, column, direction) {
  const text = (row) => row.cells[column]?.textContent.trim() ?? "";
  const isFigure = (row) => row.cells[column]?.classList.contains("figure");
  const none = (row) => text(row) === "" || text(row) === "–" || (isFigure(row) && figure(text(row)) === undefined);
  const by = (a, b) => (isFigure(a) ? compare(text(a), text(b)) : text(a).localeCompare(text(b), "en", { numeric: true }));
  return [...rows].sort((a, b) => none(a) - none(b) || (none(a) ? 0 : direction * by(a, b)));
}

function sortable(table) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  if (rows.length < 2) return;
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    if (!button.textContent) return;
    head.append(button);
    button.addEventListener("click", () => {
      const next = { ascending: "descending", descending: null }[head.getAttribute("aria-sort")];
      const direction = next === undefined ? "ascending" : next;
      for (const other of heads) other.removeAttribute("aria-sort");
      if (direction) head.setAttribute("aria-sort", direction);
      body.append(...(direction ? ordered(rows, column, direction === "ascending" ? 1 : -1) : rows));
    });
  });
}

// What scrolls can be reached by keys.
function reachable() {
  for (const wide of document.querySelectorAll(".wide")) {
    if (wide.scrollWidth > wide.clientWidth) wide.setAttribute("tabindex", "0");
    else wide.removeAttribute("tabindex");
  }
}

for (const chart of document.querySelectorAll(".chart")) toggleable(chart, askable(chart));
for (const table of document.querySelectorAll("table")) sortable(table);
reachable();
addEventListener("resize", reachable);
addEventListener("toggle", reachable, true);

let closed = [];
addEventListener("beforeprint", () => {
  hideTip();
  closed = [...document.querySelectorAll("details:not([open])")];
  for (const details of closed) details.open = true;
});
addEventListener("afterprint", () => {
  for (const details of closed) details.open = false;
});

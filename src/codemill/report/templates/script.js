"use strict";
// Tabs: without this script all parts of the page simply follow one another.
const tabs = [...document.querySelectorAll(".tabs a")];
const panels = tabs.map((tab) => document.querySelector(tab.getAttribute("href")));
function select(chosen) {
  tabs.forEach((tab, index) => {
    const on = index === chosen;
    tab.setAttribute("aria-selected", on);
    tab.tabIndex = on ? 0 : -1;
    panels[index].hidden = !on;
  });
}
function follow() {
  const target = location.hash.length > 1 ? document.getElementById(location.hash.slice(1)) : null;
  const index = target ? panels.findIndex((panel) => panel.contains(target)) : -1;
  select(Math.max(index, 0));
  if (index >= 0) target.scrollIntoView();
}
tabs.forEach((tab, index) => {
  tab.addEventListener("click", (event) => {
    event.preventDefault();
    history.replaceState(null, "", tab.getAttribute("href"));
    select(index);
  });
  tab.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = (index + step + tabs.length) % tabs.length;
    select(next);
    tabs[next].focus();
  });
});
window.addEventListener("hashchange", follow);
follow();

// Sorting: a click on a column's title sorts the body; totals and rests live in the foot and stay there.
document.querySelectorAll("table.sortable").forEach((table) => {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (head.dataset.fixed !== undefined) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") === "descending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const key = (row) => {
        const cell = row.cells[column];
        return cell.dataset.sort === undefined ? cell.textContent.trim() : Number(cell.dataset.sort);
      };
      const order = (a, b) => (typeof a === "number" ? a - b : String(a).localeCompare(String(b)));
      const rows = [...table.tBodies[0].rows].sort((a, b) => (up ? 1 : -1) * order(key(a), key(b)));
      table.tBodies[0].append(...rows);
    });
  });
});

// On paper everything is open.
window.addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((part) => { part.open = true; });
});

"use strict";
// Tables that can be sorted: a heading becomes a button, so a keyboard reaches it. What has no number stays last.
(function () {
  const cellOf = (row, index) => row.cells[index];
  const valueOf = (cell, kind) => {
    const raw = cell.dataset.value === undefined ? cell.textContent : cell.dataset.value;
    if (kind === "text") return raw.toLowerCase();
    const number = parseFloat(raw.replace(/[\u202f\s]/g, "").replace("\u2212", "-"));
    return Number.isFinite(number) ? number : null;
  };
  function sort(table, head, index, kind) {
    const first = kind === "down" ? "descending" : "ascending";
    const again = head.getAttribute("aria-sort") === first;
    const order = again ? (first === "descending" ? "ascending" : "descending") : first;
    const sign = order === "ascending" ? 1 : -1;
    const rows = [...table.tBodies[0].rows].map((row) => [valueOf(cellOf(row, index), kind), row]);
    rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : a < b ? -sign : a > b ? sign : 0));
    for (const other of table.querySelectorAll("[aria-sort]")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    table.tBodies[0].append(...rows.map(([, row]) => row));
  }
  for (const table of document.querySelectorAll("table[data-sortable]")) {
    const heads = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    heads.forEach((head, index) => {
      if (!head.dataset.sort) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, head, index, head.dataset.sort));
      head.append(button);
    });
  }
})();

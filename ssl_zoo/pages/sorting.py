"""Tables that sort by any column, in a browser. Without JavaScript they are plain, with no button that does nothing.

A table of the class `sorts` gets a button in every head that has a text. A cell's value is its `data-value`, or else
its text. A column sorts by number where every value in it is one. What has no value comes last, whichever way it is
sorted.
"""

SORT = """
const sortTable = (table, head, place) => {
  const up = head.getAttribute("aria-sort") !== "ascending", body = table.tBodies[0];
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = row => row.cells[place].dataset.value ?? row.cells[place].textContent.trim();
  const rows = [...body.rows].map(row => [value(row), row]);
  const numbers = rows.every(([one]) => one === "" || !isNaN(one));
  const compare = numbers ? (a, b) => Number(a) === Number(b) ? 0 : Number(a) - Number(b) : new Intl.Collator("en").compare;
  rows.sort(([a], [b]) => a === "" || b === "" ? (a === "") - (b === "") : compare(a, b) * (up ? 1 : -1));
  const sorted = document.createDocumentFragment();
  for (const [, row] of rows) sorted.append(row);
  body.append(sorted);
};
const makeSortable = table => {
  [...table.tHead.rows[0].cells].forEach((head, place) => {
    if (!head.textContent.trim() || head.querySelector("button")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    button.addEventListener("click", () => sortTable(table, head, place));
    head.append(button);
  });
};
document.querySelectorAll("table.sorts").forEach(makeSortable);
"""

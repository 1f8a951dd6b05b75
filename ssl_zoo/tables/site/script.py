"""What a browser does on the page of results: sort, filter, open what a link leads to, read one more file of rows.

Rows of a file that is chosen on the page are somebody else's text. They get into the page as text alone, never as
markup. They are shown as they stand, each run for itself: to average and to pair is the command's, which is one.
"""

from ssl_zoo.pages.sorting import SORT

STYLE = """
body { max-width: 84rem }
.one { border: 0; margin-top: 1rem; padding-top: .5rem } .cell { border: 0; margin-top: 1rem; padding: 0 }
h3 { font-size: 1.1rem } h4 { font-size: 1rem; margin: .75rem 0 .25rem } td small, th small { display: block; font-weight: 400 }
.controls { background: var(--box); border-radius: .4rem; padding: .75rem 1rem; margin: 1rem 0 }
.controls label { display: block; margin: .35rem 0; max-width: 100% } .controls [hidden] { display: none }
.controls p:empty { display: none } .filters { display: grid; gap: .25rem 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(14rem, 100%), 1fr)) }
.filters span { display: block; font-size: .9rem; color: var(--soft) }
select, input[type=file] { font: inherit; max-width: 100% } select { width: 100%; padding: .2rem }
.oracle { display: none } :root:has(#oracle:checked) .oracle { display: block; border-left: 4px solid var(--warn);
  padding-left: .75rem }
/* lines in whole pixels, or those below a name that stays while numbers scroll part from the others */
.results { border-collapse: separate; border-spacing: 0; line-height: 24px } .results th, .results td { padding-block: 5px }
.contents { overflow-wrap: anywhere } a { color: var(--c1) } .wide pre { white-space: pre; width: max-content; min-width: 100% }
:target { scroll-margin-top: 1rem; outline: 2px solid var(--c1); outline-offset: .4rem }
@media (max-width: 40rem) { .results { line-height: 22px }
  .results tbody th { white-space: normal; overflow-wrap: anywhere; min-width: 8rem; max-width: 9rem } }
@media print { .controls, .contents { display: none } details:not([open]) { display: none } .results { font-size: 9pt }
  .results th, .results td { white-space: normal; padding: .2rem .3rem } }
"""

SCRIPT = (
    SORT
    + r"""
const FILTERS = ["dataset", "net", "labels", "protocol"], LARGEST = 50e6, MOST = 20000, LONGEST = 200;
const byId = id => document.getElementById(id);
const text = value => String(value).replace(/\p{C}/gu, one => `\\u{${one.codePointAt(0).toString(16)}}`).slice(0, LONGEST);
const number = (value, digits = 0) => value.toLocaleString("en", {minimumFractionDigits: digits, maximumFractionDigits: digits});
const make = (tag, content = [], given = {}) => {
  const made = document.createElement(tag);
  made.append(...[content].flat());
  for (const [key, value] of Object.entries(given)) made.setAttribute(key, value);
  return made;
};

const lines = () => [...document.querySelectorAll(".results tbody tr")];
const valueOf = (line, key) => line.closest(`[data-${key}]`).dataset[key];
const fill = () => FILTERS.forEach(key => {
  const select = byId(`filter-${key}`), before = select.value;
  const values = [...new Set(lines().map(line => valueOf(line, key)))].sort(new Intl.Collator("en", {numeric: true}).compare);
  select.replaceChildren(make("option", "any", {value: ""}), ...values.map(one => make("option", one, {value: "=" + one})));
  select.value = before;
});
const filter = () => {
  const wanted = FILTERS.map(key => [key, byId(`filter-${key}`).value]).filter(([, value]) => value);
  let shown = 0, all = 0;
  for (const line of lines()) {
    line.hidden = wanted.some(([key, value]) => "=" + valueOf(line, key) !== value);
    if (!line.closest(".oracle")) { all++; shown += !line.hidden; }
  }
  for (const part of document.querySelectorAll(".one, .file"))
    part.hidden = wanted.length > 0 && !part.querySelector(".results tbody tr:not([hidden])");
  byId("shown").textContent = `${number(shown)} of ${number(all)} lines shown` + (shown ? "" : "; choose fewer filters");
};

const reveal = () => {
  let place = null;
  try { place = byId(decodeURIComponent(location.hash.slice(1))); } catch { return; }
  const folded = place?.closest("details");
  if (folded) { folded.open = true; place.scrollIntoView(); }
};
addEventListener("hashchange", reveal);
document.addEventListener("click", event => { if (event.target.closest?.("a[href^='#']")) setTimeout(reveal); });

const is = {
  text: value => typeof value === "string",
  share: value => typeof value === "number" && value >= 0 && value <= 1,
  count: value => Number.isSafeInteger(value) && value >= 0,
  labels: value => value === "all" || (Number.isSafeInteger(value) && value > 0),
  seconds: value => typeof value === "number" && value >= 0,
};
const FIELDS = {algorithm: is.text, net: is.text, dataset: is.text, labels: is.labels, seed: Number.isSafeInteger,
  steps: is.count, error_rate: is.share, accuracy_median: is.share, images_seen: is.count, seconds: is.seconds, device: is.text};
const problemOf = row => {
  if (row === null || typeof row !== "object" || Array.isArray(row)) return "it is no JSON object";
  if ("rung" in row) return "it is of a ladder";
  if ("diverged" in row) return "that run diverged";
  const missing = Object.keys(FIELDS).filter(key => !(key in row));
  if (missing.length) return `it lacks ${missing.join(", ")}`;
  const wrong = Object.keys(FIELDS).find(key => !FIELDS[key](row[key]));
  return wrong ? `its ${wrong} cannot be ${text(JSON.stringify(row[wrong])).slice(0, 60)}` : "";
};
const rowsIn = content => {
  const rows = [], problems = [];
  const add = (row, where) => {
    const problem = problemOf(row);
    if (problem) problems.push(`${where} is not the row of a finished run: ${problem}`); else rows.push(row);
  };
  try { add(JSON.parse(content), "the file"); return [rows, problems]; } catch {}
  content.split("\n").forEach((line, place) => {
    if (!line.trim()) return;
    let row;
    try { row = JSON.parse(line); } catch { problems.push(`line ${place + 1} is not JSON`); return; }
    add(row, `line ${place + 1}`);
  });
  return [rows, problems];
};
const dataOf = row => {
  const root = row.config?.data_root, last = typeof root === "string" ? root.split("/").filter(part => part).pop() ?? "" : "";
  return row.dataset === "folder" && !/^\.*$/.test(last) ? last : row.dataset;
};
const variantOf = row => (Array.isArray(row.axes) ? row.axes.filter(is.text) : []).map(key => {
  const inside = (place, part) => Object.hasOwn(Object(place), part) ? place[part] : undefined;
  const parts = key.split("."), value = parts.reduce(inside, row.config);
  return value === undefined ? "" : `, ${parts.pop()} ${is.text(value) ? value : JSON.stringify(value)}`;
}).join("");
const HEADS = ["method", "data set", "net", "labels", "seed", "error rate, %", "median", "steps", "images seen", "seconds",
  "machine"];
const lineOf = row => {
  const error = 100 * row.error_rate, median = 100 * (1 - row.accuracy_median);
  const cells = [[text(dataOf(row))], [text(row.net)], [String(row.labels), row.labels === "all" ? "Infinity" : row.labels],
    [String(row.seed)], [number(error, 1), error], [number(median, 1), median], [number(row.steps), row.steps],
    [number(row.images_seen), row.images_seen], [number(row.seconds, 1), row.seconds], [text(row.device)]];
  const name = make("th", make("bdi", text(row.algorithm + variantOf(row))), {scope: "row"});
  const line = make("tr", [name, ...cells.map(([shown, value]) =>
    make("td", make("bdi", shown), value === undefined ? {} : {"data-value": value}))]);
  line.dataset.dataset = text(dataOf(row));
  line.dataset.net = text(row.net);
  line.dataset.labels = String(row.labels);
  return line;
};
const besides = (name, rows) => {
  const head = make("thead", make("tr", HEADS.map(one => make("th", one, {scope: "col"}))));
  const table = make("table", [head, make("tbody", rows.map(lineOf))], {class: "sorts results"});
  const box = make("div", table, {class: "wide", tabindex: 0, role: "region", "aria-label": "runs of a file chosen here"});
  const said = make("p", "Single runs as they stand in the file that was chosen here, unchecked: nothing is averaged, or " +
    "compared with the tables above. ssl-zoo table with both files and --format site does that.", {class: "soft"});
  const part = make("section", [make("h2", ["From ", make("bdi", name)]), box, said], {class: "file one"});
  part.dataset.protocol = `of the file ${name}, chosen here`;
  makeSortable(table);
  return part;
};
const readFile = async file => {
  const name = text(file.name);
  if (file.size > LARGEST)
    return `${name} has ${number(file.size / 1e6)} MB, and this page reads ${LARGEST / 1e6}: give it to the command`;
  let content;
  try { content = await file.text(); } catch { return `${name} cannot be read`; }
  const [rows, problems] = rowsIn(content);
  const more = problems.length > 3 ? `; and ${number(problems.length - 3)} more` : "";
  const wrong = problems.slice(0, 3).join("; ") + more;
  if (!rows.length) return `${name} holds no row of a finished run: ${wrong || "it is empty"}`;
  byId("chosen").append(besides(name, rows.slice(0, MOST)));
  const cut = rows.length > MOST ? `, of which the first ${number(MOST)} are shown` : "";
  const count = `${number(rows.length)} run${rows.length > 1 ? "s" : ""}`;
  return `${name}: ${count}, below all others${cut}${wrong ? `; left out: ${wrong}` : ""}`;
};
byId("file").addEventListener("change", async event => {
  const said = [];
  for (const file of event.target.files) said.push(await readFile(file));
  byId("read").textContent = said.join(". ");
  event.target.value = "";
  fill();
  filter();
});

document.querySelectorAll(".script").forEach(part => { part.hidden = false; });
FILTERS.forEach(key => byId(`filter-${key}`).addEventListener("change", filter));
fill();
filter();
reveal();
"""
)

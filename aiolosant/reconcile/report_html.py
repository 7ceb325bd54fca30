"""The frame of the page that `report.html` fills: styles for light and dark, and a search."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Plan for <!--application--></title>
<style>
:root { color-scheme: light dark; --text: #1a1a1a; --back: #fff; --faint: #666; --line: #ddd; --create: #116329;
  --update: #7d4e00; --delete: #b3261e; --bar: #4a7ab5; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e6e6; --back: #16181b; --faint: #9aa0a6; --line: #33373c;
  --create: #56d364; --update: #e3b341; --delete: #ff7b72; --bar: #6ea0dd; } }
body { font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); margin: 0 auto;
  max-width: 70em; padding: 1.5em; }
h1 { font-size: 1.4em; margin: 0; } h2 { font-size: 1.1em; margin: 1.5em 0 .3em; }
code { font-size: .85em; color: var(--faint); word-break: break-all; }
small { color: var(--faint); }
input { font: inherit; color: inherit; background: transparent; border: 1px solid var(--line); border-radius: 4px;
  padding: .3em .6em; width: 100%; box-sizing: border-box; }
.bar { display: flex; gap: 1em; align-items: center; position: sticky; top: 0; background: var(--back);
  padding: .5em 0; }
.bar label { white-space: nowrap; }
ul.tree, ul.tree ul { list-style: none; margin: 0; padding-left: 1.3em; border-left: 1px solid var(--line); }
ul.tree { border: 0; padding: 0; }
.above { color: var(--faint); }
.create::before { content: "+ "; } .update::before { content: "~ "; } .delete::before { content: "- "; }
.create { color: var(--create); } .update { color: var(--update); } .delete { color: var(--delete); }
.delete b { text-decoration: line-through; }
.field { padding-left: 1.2em; font-size: .92em; overflow-wrap: anywhere; }
em { font-style: normal; font-size: .85em; color: var(--faint); }
em.failed, em.unknown, em.stale, em.skipped { color: var(--delete); }
svg { width: 100%; height: 7em; background: color-mix(in srgb, var(--line) 30%, transparent); }
svg rect { fill: var(--bar); }
li.hidden { display: none; }
</style>
</head>
<body>
<h1>Plan for <!--application--></h1>
<p><b><!--summary--></b><br><code>digest <!--digest--></code></p>
<!--warnings-->
<!--outcomes-->
<h2>Changes</h2>
<div class="bar">
<input id="search" type="search" placeholder="Search names, fields and values" aria-label="Search">
<label><input type="checkbox" data-kind="create" checked style="width:auto"> create</label>
<label><input type="checkbox" data-kind="update" checked style="width:auto"> change</label>
<label><input type="checkbox" data-kind="delete" checked style="width:auto"> delete</label>
<small id="count"></small>
</div>
<!--tree-->
<script>
"use strict";
const items = [...document.querySelectorAll("ul.tree li")].reverse();  // children before their parents
const own = new Map(items.map((item) => {
  const parts = [...item.childNodes].filter((node) => node.nodeName !== "UL");
  return [item, parts.map((node) => node.textContent).join(" ").toLowerCase()];
}));
function search() {
  const wanted = document.getElementById("search").value.trim().toLowerCase();
  const boxes = [...document.querySelectorAll("[data-kind]")];
  const kinds = boxes.filter((box) => box.checked).map((box) => box.dataset.kind);
  let count = 0;
  const shown = new Set();
  for (const item of items) {
    const change = item.querySelector(":scope > .create, :scope > .update, :scope > .delete");
    const fits = change && kinds.includes(change.className) && own.get(item).includes(wanted);
    count += fits ? 1 : 0;
    const visible = fits || shown.has(item);
    item.classList.toggle("hidden", !visible);
    const above = item.parentElement.closest("li");
    if (visible && above) shown.add(above);
  }
  document.getElementById("count").textContent = count + " shown";
}
document.getElementById("search").addEventListener("input", search);
document.querySelectorAll("[data-kind]").forEach((box) => box.addEventListener("change", search));
search();
</script>
</body>
</html>
"""

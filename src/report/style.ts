/** The page's only style sheet. Colours keep 4.5:1 for text and 3:1 for lines in both schemes. */
export const STYLE = `
:root {
  --ground: #ffffff; --raised: #f5f6f8; --text: #1b1f24; --quiet: #59616b; --rule: #d8dce1;
  --link: #0b5cad; --color-0: #1f66b8; --color-1: #b0500c; --note: #8a6100; --note-ground: #fff8e6;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #15181c; --raised: #1e2227; --text: #e4e7eb; --quiet: #a3abb5; --rule: #363c44;
    --link: #7db8f5; --color-0: #74b0f4; --color-1: #f0a05a; --note: #e0b450; --note-ground: #2a2517;
  }
}
* { box-sizing: border-box; }
html { color-scheme: light dark; background: var(--ground); color: var(--text); scroll-padding-top: 1rem; }
body {
  margin: 0 auto; padding: 2rem 1.5rem 4rem; max-width: 80rem;
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif;
}
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .5rem; overflow-wrap: anywhere; }
h2 { font-size: 1.35rem; margin: 3rem 0 1rem; padding-bottom: .35rem; border-bottom: 1px solid var(--rule); }
h3 { font-size: 1.05rem; margin: 0 0 .6rem; overflow-wrap: anywhere; }
p { max-width: 52rem; margin: .75rem 0; }
a { color: var(--link); }
a:focus-visible, summary:focus-visible, [tabindex]:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; font-size: .86em; }
:not(pre) > code { overflow-wrap: anywhere; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.25rem; margin: 0; padding: 0; list-style: none; }
.note {
  padding: .6rem .9rem; border-left: 3px solid var(--note); background: var(--note-ground); border-radius: 0 4px 4px 0;
}
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .75rem; margin: 1.5rem 0; }
.tiles div { padding: .75rem 1rem; background: var(--raised); border-radius: 6px; }
.tiles dt { color: var(--quiet); font-size: .88rem; }
.tiles dd { margin: 0; }
.tiles b { display: block; font-size: 1.6rem; line-height: 1.3; font-weight: 600; font-variant-numeric: tabular-nums; }
.tiles span { color: var(--quiet); font-size: .88rem; }
.group { display: inline-block; vertical-align: top; width: calc(33.3% - 1.4rem); min-width: min(100%, 21rem); margin: 0 1.2rem 1.5rem 0; }
.facts { margin: 0; font-size: .93rem; }
.facts div { display: grid; grid-template-columns: 9rem 1fr; gap: .75rem; padding: .22rem 0; border-top: 1px solid var(--rule); }
.facts div:first-child { border-top: 0; }
.facts dt { color: var(--quiet); }
.facts dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
.scroll { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
.wide { min-width: 100%; }
.narrow { min-width: min(100%, 34rem); }
caption { text-align: left; font-weight: 600; padding-bottom: .4rem; font-size: .95rem; }
th, td { padding: .35rem .5rem; text-align: left; vertical-align: baseline; border-bottom: 1px solid var(--rule); }
th:first-child { padding-left: 0; }
thead th { color: var(--quiet); font-weight: 500; vertical-align: bottom; }
tbody th { font-weight: 500; }
tfoot th { font-weight: 600; }
tfoot tr:first-child > * { border-top: 2px solid var(--rule); }
.figure { text-align: right; }
td.figure { white-space: nowrap; }
/* The row of references: words. */
tfoot tr:nth-child(n + 2) td.figure { white-space: normal; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); column-gap: 2.5rem; row-gap: 0; margin: 1.5rem 0 .5rem; }
figure {
  margin: 0; max-width: 40rem; display: grid; grid-row: span 4; grid-template-rows: subgrid; grid-template-columns: minmax(0, 1fr);
  row-gap: .35rem; padding-bottom: 1.25rem;
}
figcaption { font-weight: 600; }
.legend { display: flex; flex-wrap: wrap; align-content: start; gap: .15rem 1.1rem; margin: 0; padding: 0; list-style: none; font-size: .88rem; }
.swatch { vertical-align: -2px; margin-right: .4rem; }
figure > svg { display: block; width: 100%; height: auto; }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: var(--quiet); }
svg .grid { stroke: var(--rule); stroke-width: 1; }
.reference-0, .reference-1 { stroke: var(--quiet); stroke-width: 1.5; stroke-dasharray: 2 4; }
.reference-1 { stroke-dasharray: 9 3 2 3; }
.series polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
.series path { stroke-width: 1.75; }
.color-0 polyline, .color-0 path { stroke: var(--color-0); fill: var(--color-0); }
.color-1 polyline, .color-1 path { stroke: var(--color-1); fill: var(--color-1); }
.series polyline { fill: none; }
.beside polyline { stroke-dasharray: 6 4; }
.beside path { fill: var(--ground); }
article { padding: 1rem 1.1rem; margin: 1rem 0; border: 1px solid var(--rule); border-radius: 6px; }
@media (min-width: 62rem) { article:has(> .charts) { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); column-gap: 2.5rem; } }
article > h3 { grid-column: 1 / -1; }
article > .charts { margin: 0; }
article > .facts + .charts { align-content: start; }
article:target { border-color: var(--link); box-shadow: 0 0 0 1px var(--link); }
details { margin: .5rem 0 0; }
summary { cursor: pointer; color: var(--link); width: fit-content; font-size: .93rem; }
pre { margin: .6rem 0 0; padding: .9rem 1rem; overflow-x: auto; background: var(--raised); border-radius: 6px; line-height: 1.45; tab-size: 4; }
@media (max-width: 40rem) {
  body { padding: 1.25rem 1rem 3rem; }
  .facts div { grid-template-columns: 1fr; gap: 0; }
  .group { display: block; width: auto; margin-right: 0; }
  article > .charts { margin-top: 1rem; }
}
@media print {
  :root {
    --ground: #ffffff; --raised: #f5f6f8; --text: #000000; --quiet: #444b54; --rule: #c4c9cf;
    --link: #000000; --color-0: #1f66b8; --color-1: #b0500c; --note: #8a6100; --note-ground: #ffffff;
  }
  @page { margin: 14mm; }
  html { font-size: 9.5pt; }
  body { max-width: none; padding: 0; }
  nav { display: none; }
  .scroll { overflow: visible; }
  table { font-size: 6.5pt; }
  td.figure { white-space: normal; }
  th, td { padding: .2rem .25rem; }
  .narrow { font-size: 8pt; }
  h2, h3, caption, figcaption { break-after: avoid; }
  figure, tr, .tiles div, .facts div { break-inside: avoid; }
  details:not([open]) { display: none; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; }
}
`;

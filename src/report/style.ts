/** The report's style: one sheet, system fonts, colours that hold a contrast of 4.5:1 in light and in dark. */

export const STYLE = `
:root { color-scheme: light dark;
  --paper: #fcfbf8; --ink: #1d1c1a; --soft: #66625b; --line: #dedad2; --panel: #f4f1ea;
  --blue: #1f5fbf; --amber: #a35200; --teal: #0b7264; --good: #166a36; --bad: #b3261e;
  --good-back: #e3f2e6; --bad-back: #f9e4e1; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #171614; --ink: #ece9e2; --soft: #a8a399; --line: #38352f; --panel: #211f1c;
  --blue: #7fb0ff; --amber: #f0a45d; --teal: #5fcfbc; --good: #7fd49a; --bad: #ff9b91;
  --good-back: #17301f; --bad-back: #3b1d1a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 40px 20px 80px; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .3em; letter-spacing: -.01em; }
h2 { font-size: 1.3rem; margin: 2.6em 0 .4em; }
h3 { font-size: 1rem; margin: 0; }
p { margin: .4em 0; max-width: 70ch; }
.soft, figcaption p, .meaning, .legend { color: var(--soft); }
.question { font-size: 1.15rem; }
.headline { display: flex; flex-wrap: wrap; gap: 14px; margin: 1.6em 0 0; padding: 0; list-style: none; }
.headline li { flex: 1 1 180px; background: var(--panel); border-radius: 10px; padding: 14px 18px; }
.headline b { display: block; font-size: 1.6rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); padding-bottom: .6em; }
th, td { text-align: left; vertical-align: top; padding: 8px 14px 8px 0; border-bottom: 1px solid var(--line); }
thead th { font-weight: 500; color: var(--soft); }
tbody th { font-weight: 600; }
.interval { white-space: nowrap; }
.meaning, .interval { display: block; font-weight: 400; font-size: .84rem; color: var(--soft); }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(300px, 1fr)); gap: 26px; margin-top: 1em; }
figure { margin: 0; min-width: 0; }
figcaption p { font-size: .88rem; margin: .1em 0 .5em; min-height: 2.9em; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
.grid { stroke: var(--line); stroke-width: 1; }
.line, .raw { fill: none; stroke-linejoin: round; stroke-width: 2; }
.raw { stroke-width: 1; opacity: .3; }
.s0 { stroke: var(--blue); } .s1 { stroke: var(--amber); stroke-dasharray: 6 3; }
.s2 { stroke: var(--teal); stroke-dasharray: 2 3; }
.raw.s1, .raw.s2 { stroke-dasharray: none; }
.whisker { stroke: var(--ink); stroke-width: 1.5; } .dot { fill: var(--ink); }
.legend { font-size: .84rem; margin: .2em 0 0; }
.key { margin-right: 1.2em; white-space: nowrap; }
.key::before { content: ""; display: inline-block; width: 16px; margin-right: 6px; vertical-align: middle;
  border-top: 3px solid var(--blue); }
.key.s1::before { border-top: 3px dashed var(--amber); } .key.s2::before { border-top: 3px dotted var(--teal); }
.key.held-out::before { border: 0; width: 9px; height: 9px; border-radius: 50%; background: var(--ink); }
.problem { border: 1px solid var(--line); border-radius: 10px; margin: 18px 0; overflow: hidden; }
.problem > h3 { padding: 10px 16px; background: var(--panel); font-weight: 600; overflow-wrap: anywhere; }
.problem > h3 .soft { font-weight: 400; margin-left: .5em; }
.sides { display: grid; grid-template-columns: 1fr 1fr; }
.sides > div { padding: 12px 16px; min-width: 0; } .sides > div + div { border-left: 1px solid var(--line); }
.sides h4 { margin: 0 0 .4em; font-size: .9rem; font-weight: 500; color: var(--soft); }
.badge { font-weight: 600; border-radius: 5px; padding: 1px 8px; margin-left: 6px; }
.badge.right { color: var(--good); background: var(--good-back); }
.badge.wrong { color: var(--bad); background: var(--bad-back); }
.lines { margin: 0; padding: 0; list-style: none; counter-reset: try; max-height: 30em; overflow-y: auto;
  font: .86rem/1.6 ui-monospace, monospace; }
.lines li { overflow-wrap: anywhere; padding-left: 2.4em; text-indent: -2.4em; }
.lines .try::before, .lines .hit::before { counter-increment: try; content: counter(try); color: var(--soft);
  display: inline-block; width: 2.4em; text-indent: 0; font-size: .8em; }
.hit { color: var(--good); font-weight: 600; } .mistaken { color: var(--bad); }
.lines .answer { margin-top: .5em; padding: 4px 8px; text-indent: 0; border-radius: 5px; background: var(--panel); }
.answer::before { content: "answer "; color: var(--soft); } .nothing { color: var(--soft); font-style: italic; }
details { border-top: 1px solid var(--line); padding: 10px 0; }
summary { cursor: pointer; font-weight: 600; }
pre { overflow-x: auto; background: var(--panel); border-radius: 10px; padding: 14px 16px; font: .84rem/1.5 ui-monospace, monospace; }
@media (max-width: 640px) { .sides { grid-template-columns: 1fr; }
  .sides > div + div { border-left: 0; border-top: 1px solid var(--line); } }
@media print { .lines { max-height: none; } }
`;

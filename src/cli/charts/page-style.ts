// The style sheet of the report pages: light and dark by the reader's setting, one column on a phone, print-friendly.

export const pageStyle = `
:root{--bg:#f6f7f9;--card:#fff;--ink:#16191f;--dim:#667080;--line:#e2e6ec;--grid:#edf0f4;--a:#2563eb;--b:#0d9488;--c:#c77700;--d:#d6336c;--e:#7c3aed;--f:#4d7c0f;--g:#64748b;--h:#a16207;--good:#087f5b;--good-bg:#e6f6f0;--bad:#b42318;--bad-bg:#fdeceb}
@media (prefers-color-scheme:dark){:root{--bg:#0f1216;--card:#171b21;--ink:#e7eaef;--dim:#96a0b0;--line:#272d36;--grid:#222831;--a:#6ea8fe;--b:#38d0c0;--c:#f0b03f;--d:#ff7eb0;--e:#b79cff;--f:#a3d65c;--g:#a9b4c6;--h:#d9a441;--good:#5ad8a6;--good-bg:#12301f;--bad:#ff9b91;--bad-bg:#3b1714}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:14px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;-webkit-text-size-adjust:100%}
main{max-width:1240px;margin:0 auto;padding:24px 16px 48px;display:grid;gap:16px}
main>*{min-width:0}
header{display:flex;gap:16px;justify-content:space-between;align-items:flex-start;flex-wrap:wrap}
h1{font-size:22px;margin:0 0 4px;letter-spacing:-.01em}
h2{font-size:14px;margin:0 0 10px}
h2 small{font-weight:400;color:var(--dim);font-size:12px;margin-left:6px}
p{margin:0}
header p{overflow-wrap:anywhere}
ul{margin:0;padding-left:18px;color:var(--dim)}
li{overflow-wrap:anywhere}
.dim{color:var(--dim)}
.verdict{padding:6px 12px;border-radius:999px;font-weight:600;font-size:13px}
.good{color:var(--good);background:var(--good-bg)}
.bad{color:var(--bad);background:var(--bad-bg)}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(140px,1fr));gap:12px}
.tile,.card{background:var(--card);border:1px solid var(--line);border-radius:10px;padding:14px 16px;min-width:0}
.tile{display:flex;flex-direction:column}
.tile span{color:var(--dim);font-size:12px}
.tile strong{font-size:21px;line-height:1.35;letter-spacing:-.01em;font-variant-numeric:tabular-nums;white-space:nowrap}
.grid{display:grid;grid-template-columns:repeat(2,minmax(0,1fr));gap:16px;align-items:start}
.plot{height:250px;position:relative}
.plot svg{display:block;width:100%;height:100%;overflow:visible;touch-action:pan-y}
.plot text{fill:var(--dim);font-size:11px;font-variant-numeric:tabular-nums}
.plot .gridline{stroke:var(--grid)}
.plot .axis{stroke:var(--line)}
.plot .cursor{stroke:var(--dim);stroke-dasharray:2 3}
.legend{display:flex;flex-wrap:wrap;gap:2px 14px;font-size:12px;color:var(--dim);margin-bottom:4px}
.legend i{display:inline-block;width:10px;height:3px;border-radius:2px;margin-right:6px;vertical-align:middle}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th{color:var(--dim);font-weight:500;font-size:12px;text-align:right;padding:4px 8px;border-bottom:1px solid var(--line);white-space:nowrap}
td{text-align:right;padding:5px 8px;border-bottom:1px solid var(--grid);white-space:nowrap}
tr:last-child td{border-bottom:0}
th:first-child,td:first-child,th:last-child:nth-child(8),td:last-child:nth-child(8){text-align:left}
td:first-child{padding-left:0;overflow-wrap:anywhere;white-space:normal;min-width:112px}
th:first-child{padding-left:0}
.outcomes :is(th,td):nth-child(2){text-align:left}
.fate{font-weight:600;color:var(--c)}
.fate.completed{color:var(--good)}
.fate.failed,.fate.lost,.fate.unfinished,.fate.unanswered{color:var(--bad)}
.gpu{display:grid;grid-template-columns:minmax(90px,1.2fr) 2fr 2fr;gap:12px;align-items:center;padding:3px 0;border-radius:6px;outline-offset:2px}
.gpu>span:first-child{overflow:hidden;text-overflow:ellipsis;white-space:nowrap}
.gpu.head{color:var(--dim);font-size:12px}
.bar{position:relative;background:var(--grid);border-radius:4px;height:20px;overflow:hidden}
.bar i{position:absolute;inset:0 auto 0 0;border-radius:4px;opacity:.35}
.bar.busy i{background:var(--a)}
.bar.share i{background:var(--b)}
.bar em{position:relative;padding-left:8px;font-style:normal;font-size:12px;line-height:20px;font-variant-numeric:tabular-nums}
td .bar{display:block;min-width:84px;text-align:left}
.names td:first-child{white-space:nowrap}
#tip{position:fixed;z-index:2;pointer-events:none;background:var(--ink);color:var(--bg);border-radius:6px;padding:6px 10px;font-size:12px;line-height:1.5;white-space:pre;font-variant-numeric:tabular-nums;max-width:90vw;overflow:hidden;box-shadow:0 4px 16px #0003}
#tip[hidden]{display:none}
@media (max-width:820px){.grid{grid-template-columns:minmax(0,1fr)}.plot{height:210px}.gpu{grid-template-columns:1fr 1fr;gap:2px 12px;padding:5px 0}.gpu>span:first-child{grid-column:1/-1}main{padding:16px 12px 32px}.tile strong{font-size:18px}.tiles{grid-template-columns:repeat(auto-fit,minmax(120px,1fr))}}
@media print{body{background:#fff}.card,.tile{break-inside:avoid}}
`;

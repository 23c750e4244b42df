// The frame of the report pages: one HTML file that needs no network. Everything from elsewhere is escaped; a content policy forbids all loading.
import { pageStyle } from "./page-style.js";

export interface Page {
  /** Plain text. */
  readonly title: string;
  /** HTML of what is in <main>. */
  readonly body: string;
  /** What the script finds as JSON in #report. */
  readonly data: unknown;
  readonly script: string;
}

/** The whole page. */
export function page({ title, body, data, script }: Page): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<title>${escapeHtml(title)} · gpu-router</title>
<style>${pageStyle}</style>
</head>
<body>
<main>
${body}
</main>
<div id="tip" role="status" hidden></div>
<script type="application/json" id="report">${embeddedJson(data)}</script>
<script>${script}</script>
</body>
</html>
`;
}

/** Text that is safe between tags and inside quoted attributes. */
export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** JSON that cannot end the script element it stands in, nor upset a JavaScript parser. */
function embeddedJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(/[<>&\u2028\u2029]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** A card for a plot that the script draws. All arguments are HTML. */
export function plotCard(id: string, title: string, note: string): string {
  return `<section class="card"><h2>${title} <small>${note}</small></h2><div class="plot" data-plot="${id}"><noscript>Plots need JavaScript; the tables below do not.</noscript></div></section>`;
}

/** A figure with its name and a note. All arguments are HTML. */
export function tile(name: string, value: string, note: string): string {
  return `<div class="tile"><span>${name}</span><strong>${value}</strong><span>${note}</span></div>`;
}

/** A table of cells that are HTML. */
export function htmlTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (tag: "th" | "td", row: readonly string[]): string => `<tr>${row.map((cell) => `<${tag}>${cell}</${tag}>`).join("")}</tr>`;
  return `<div class="scroll"><table><thead>${cells("th", head)}</thead><tbody>${rows.map((row) => cells("td", row)).join("")}</tbody></table></div>`;
}

/** A bar of a share, 0..1, with its label, which is HTML; `kind` is "busy" or "share". */
export function bar(kind: "busy" | "share", ratio: number, label: string): string {
  return `<span class="bar ${kind}"><i style="width:${(Math.min(1, ratio) * 100).toFixed(1)}%"></i><em>${label}</em></span>`;
}

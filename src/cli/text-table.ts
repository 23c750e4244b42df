// Columns of text for people. Widths ignore colour codes; the last column is never padded.

export interface Column {
  readonly title: string;
  /** Numbers read best to the right; left when unset. */
  readonly align?: "left" | "right";
}

// oxlint-disable-next-line no-control-regex -- colour codes begin with one
const COLOUR_CODES = /\u001B\[\d+m/g;

/** Characters that a terminal shows for a text: code points without colour codes. */
export function visibleWidth(text: string): number {
  return Array.from(text.replaceAll(COLOUR_CODES, "")).length;
}

/** Cuts a plain text to a width, with an ellipsis when something is lost. */
export function truncate(text: string, width: number): string {
  const characters = Array.from(text);
  return characters.length <= width ? text : `${characters.slice(0, Math.max(0, width - 1)).join("")}…`;
}

/** Cuts a text that may carry colour codes to a width; codes are kept, so that colours still end. */
export function truncateStyled(text: string, width: number): string {
  if (visibleWidth(text) <= width) return text;
  let room = width - 1;
  let cut = "";
  // oxlint-disable-next-line no-control-regex -- colour codes begin with one
  for (const [piece] of text.matchAll(/\u001B\[\d+m|[^]/gu)) {
    if (piece.length > 2) cut += piece;
    else if (room > 0) {
      cut += piece;
      room -= 1;
      if (room === 0) cut += "…";
    }
  }
  return cut;
}

/** One line per row under a line of titles, two spaces between columns, every line ending in "\n". */
export function textTable(columns: readonly Column[], rows: readonly (readonly string[])[], title: (text: string) => string = (text) => text): string {
  const widths = columns.map((column, index) =>
    rows.reduce((width, row) => Math.max(width, visibleWidth(row[index] ?? "")), visibleWidth(column.title)),
  );
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => {
        const padding = " ".repeat(Math.max(0, (widths[index] ?? 0) - visibleWidth(cell)));
        if (columns[index]?.align === "right") return padding + cell;
        return index === columns.length - 1 ? cell : cell + padding;
      })
      .join("  ")
      .trimEnd();
  return [line(columns.map((column) => title(column.title))), ...rows.map(line)].map((text) => `${text}\n`).join("");
}

// A line of a CSV file as fields: commas, semicolons or tabs, and quotes as RFC 4180 has them, within one line.

const SEPARATORS = [",", ";", "\t"] as const;

/** What separates the fields of a file with this heading. */
export function separatorOf(heading: string): string {
  return SEPARATORS.reduce((most, each) => (heading.split(each).length > heading.split(most).length ? each : most));
}

/** The fields, without their quotes. */
export function csvFields(line: string, separator: string): string[] {
  if (!line.includes('"')) return line.split(separator);
  const fields: string[] = [];
  let field = "";
  let quoted = false;
  for (let at = 0; at < line.length; at += 1) {
    const sign = line[at] ?? "";
    if (sign === '"' && quoted && line[at + 1] === '"') {
      field += sign;
      at += 1;
    } else if (sign === '"') quoted = !quoted;
    else if (sign === separator && !quoted) {
      fields.push(field);
      field = "";
    } else field += sign;
  }
  fields.push(field);
  return fields;
}

/** The names of a heading as they are compared: lower case letters and digits alone. */
export function plainName(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
}

// Reads one YAML file of keys and values, with errors for people. Schemas are their owners' business.
import { readFileSync } from "node:fs";
import { parseDocument } from "yaml";

const MAX_FILE_BYTES = 1 << 20;

/** The file's keys and values; `{}` for a file of comments. `fail` is called with what is wrong and must throw. */
export function readYaml(filePath: string, fail: (trouble: string) => never): object {
  let content: string;
  try {
    content = readFileSync(filePath, "utf8");
  } catch (error) {
    return fail(`cannot be read: ${(error as Error).message}`);
  }
  if (content.length > MAX_FILE_BYTES) return fail(`is larger than ${MAX_FILE_BYTES} bytes`);
  const document = parseDocument(content, { uniqueKeys: true });
  const [trouble] = [...document.errors, ...document.warnings];
  if (trouble !== undefined) return fail(`is not valid YAML: ${trouble.message}`);
  let value: unknown;
  try {
    value = document.toJS();
  } catch (error) {
    return fail(`is not valid YAML: ${(error as Error).message}`);
  }
  // A file with nothing but comments is a file of defaults.
  if (value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) return fail("must hold keys and values");
  return value;
}

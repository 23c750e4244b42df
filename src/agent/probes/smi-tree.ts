// Reads the two forms in which `nvidia-smi -q` answers, XML (`-x`) and indented text, into one kind of tree.
// Called by the readers of nvidia-smi's answers. Not a general XML reader: it takes the subset that nvidia-smi writes
// (elements, text, one DOCTYPE line, comments) and refuses everything else.

/** An element with its text; `children` in document order. */
export interface SmiNode {
  readonly name: string;
  readonly text: string;
  readonly children: readonly SmiNode[];
}

/** As it is built. */
interface OpenNode {
  readonly name: string;
  text: string;
  readonly children: OpenNode[];
}

/** Nothing that nvidia-smi writes for 1,024 GPUs is larger. Characters. */
const MAX_SMI_CHARS = 64 * 1024 * 1024;
const MAX_DEPTH = 32;

const XML_TOKEN = /<\?[^>]*\?>|<!DOCTYPE[^>]*>|<!--[\s\S]*?-->|<(\/?)([A-Za-z_][\w.-]*)([^<>]*?)(\/?)>|([^<]+)/gy;
const ENTITIES: Readonly<Record<string, string>> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'" };

/** The root element. Throws a message with the place when `xml` is not what nvidia-smi writes. Attributes are left out. */
export function readSmiXml(xml: string): SmiNode {
  if (xml.length > MAX_SMI_CHARS) throw new Error(`nvidia-smi XML is larger than ${MAX_SMI_CHARS} characters.`);
  const document: OpenNode = { name: "", text: "", children: [] };
  const path = [document];
  let readUpTo = 0;
  for (const match of xml.matchAll(XML_TOKEN)) {
    readUpTo = match.index + match[0].length;
    const [, closing, name, , selfClosing, text] = match;
    const parent = path.at(-1) ?? document;
    if (text !== undefined) parent.text += text;
    if (name === undefined) continue;
    if (closing) {
      if (path.length === 1 || parent.name !== name) throw malformed(xml, match.index, `</${name}> closes nothing`);
      parent.text = unescape(parent.text.trim());
      path.pop();
      continue;
    }
    const node: OpenNode = { name, text: "", children: [] };
    parent.children.push(node);
    if (!selfClosing) path.push(node);
    if (path.length > MAX_DEPTH) throw malformed(xml, match.index, "elements are nested too deep");
  }
  if (readUpTo < xml.length) throw malformed(xml, readUpTo, "this is no XML of nvidia-smi");
  const [root] = document.children;
  if (path.length > 1) throw malformed(xml, xml.length, `<${path.at(-1)?.name}> is not closed`);
  if (!root || document.children.length > 1 || document.text.trim() !== "") throw malformed(xml, 0, "there must be one root element and no text beside it");
  return root;
}

/**
 * The tree of an indented `nvidia-smi -q`: four spaces a level, "Name : value". Names become like those of the XML: lower case,
 * with underscores. The root is nameless.
 */
export function readSmiText(text: string): SmiNode {
  if (text.length > MAX_SMI_CHARS) throw new Error(`nvidia-smi output is larger than ${MAX_SMI_CHARS} characters.`);
  const root: OpenNode = { name: "", text: "", children: [] };
  const path = [root];
  for (const line of text.split("\n")) {
    const indent = line.search(/\S/);
    if (indent < 0) continue;
    const depth = Math.min(Math.floor(indent / 4), path.length - 1, MAX_DEPTH);
    const colon = line.indexOf(" : ");
    const name = (colon < 0 ? line : line.slice(0, colon)).trim().toLowerCase().replaceAll(" ", "_");
    const node: OpenNode = { name, text: colon < 0 ? "" : line.slice(colon + 3).trim(), children: [] };
    path.length = depth + 1;
    path[depth]?.children.push(node);
    path.push(node);
  }
  return root;
}

/** The first descendant on the way of `names`; undefined when there is none. */
export function find(node: SmiNode | undefined, ...names: readonly string[]): SmiNode | undefined {
  return names.reduce<SmiNode | undefined>((at, name) => at?.children.find((child) => child.name === name), node);
}

/** The text of `find`; "" when there is none. */
export function textOf(node: SmiNode | undefined, ...names: readonly string[]): string {
  return find(node, ...names)?.text ?? "";
}

/** All children of a name. */
export function all(node: SmiNode | undefined, name: string): readonly SmiNode[] {
  return node?.children.filter((child) => child.name === name) ?? [];
}

/** The number at the start of a value such as "81559 MiB"; undefined for "N/A", "[Unknown Error]" and the like. */
export function numberIn(text: string): number | undefined {
  const match = /^-?\d+(\.\d+)?(?=\s|$)/.exec(text.trim());
  return match ? Number(match[0]) : undefined;
}

function unescape(text: string): string {
  return text.replaceAll(/&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(\w+));/g, (whole, decimal: string, hex: string, name: string) => {
    const code = decimal ? Number(decimal) : hex ? Number.parseInt(hex, 16) : undefined;
    if (code === undefined) return ENTITIES[name] ?? whole;
    return code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}

function malformed(xml: string, at: number, why: string): Error {
  const line = xml.slice(0, at).split("\n").length;
  return new Error(`nvidia-smi XML, line ${line}: ${why}. Run \`nvidia-smi -q -x\` by hand to see whether it works.`);
}

// The fenced blocks of a Markdown file, and what their first line promises:
//   sh           is run; `sh exit=3` must end so, `sh ctrl-c` is stopped with Ctrl-C after two seconds
//   json, text   right after a block that is run: what it prints (see `expectOutput`)
//   js           is run by Node in the root of the repository
//   python       is run by Python
//   yaml file=F  is written to F for the blocks after it; so is `ts file=F`, for the how-to it stands in
//   yaml         alone is a part of a configuration file and must be valid there
//   diff file=F  is a change of F
//   text, console elsewhere are for reading and are not run
import { readFileSync } from "node:fs";

export interface Block {
  readonly language: string;
  /** What follows the language: `exit=3`, `file=agent.yaml`. */
  readonly options: ReadonlyMap<string, string>;
  readonly text: string;
  /** Line of the opening fence, from 1. */
  readonly line: number;
  /** Whether only empty lines stand between it and the block before it. */
  readonly follows: boolean;
}

const RUN = new Set(["sh", "js", "python"]);
const KNOWN: Readonly<Record<string, readonly string[]>> = {
  sh: ["exit", "ctrl-c"],
  js: [],
  python: [],
  json: [],
  text: [],
  console: [],
  yaml: ["file"],
  ts: ["file"],
  diff: ["file"],
};

/** Throws when a block promises something that is not known. */
export function blocksOf(file: string): readonly Block[] {
  const blocks: Block[] = [];
  let open: { readonly info: string; readonly line: number; readonly follows: boolean; readonly lines: string[] } | undefined;
  let follows = false;
  for (const [index, text] of readFileSync(file, "utf8").split("\n").entries()) {
    if (open && text === "```") {
      blocks.push(blockOf(file, open));
      open = undefined;
      follows = true;
    } else if (open) open.lines.push(text);
    else if (text.startsWith("```")) open = { info: text.slice(3), line: index + 1, follows, lines: [] };
    else if (text.trim() !== "") follows = false;
  }
  if (open) throw new Error(`${file}:${open.line}: the block does not end`);
  return blocks;
}

function blockOf(file: string, open: { readonly info: string; readonly line: number; readonly follows: boolean; readonly lines: readonly string[] }): Block {
  const [language = "", ...words] = open.info.split(" ");
  const options = new Map(words.map((word) => [word.split("=")[0] ?? "", word.split("=")[1] ?? ""]));
  const known = KNOWN[language];
  const unknown = [...options.keys()].find((option) => !known?.includes(option));
  if (!known || unknown !== undefined) throw new Error(`${file}:${open.line}: \`\`\`${open.info} is not one of ${Object.keys(KNOWN).join(", ")} with its options; see test/docs/markdown.ts`);
  return { language, options, text: open.lines.join("\n"), line: open.line, follows: open.follows };
}

/** A block that is run, with the block after it where that shows its output. */
export interface Step {
  readonly block: Block;
  readonly output: Block | undefined;
}

/** The blocks to run, in order. */
export function stepsOf(blocks: readonly Block[]): readonly Step[] {
  return blocks.flatMap((block, index) => {
    if (!RUN.has(block.language)) return [];
    const next = blocks[index + 1];
    return [{ block, output: next?.follows && ["json", "text"].includes(next.language) ? next : undefined }];
  });
}

// Lines of a text file, read as a stream, one line in memory at a time.
import { openText } from "./open-text.js";

// No row of a known trace comes near; a file without line ends must not fill the memory. Characters.
const MAX_LINE_LENGTH = 1 << 20;

/** Yields each line without its end (LF or CRLF); a last line needs no end. Throws when the file cannot be read, is cut off, or has a line above 1 Mi characters. */
export async function* readLines(path: string): AsyncGenerator<string, void, undefined> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of await openText(path)) {
    const parts = (rest + decoder.decode(chunk as Uint8Array, { stream: true })).split("\n");
    rest = parts.pop() ?? "";
    if (rest.length > MAX_LINE_LENGTH) throw new Error(`it has a line of more than ${MAX_LINE_LENGTH} characters`);
    for (const line of parts) yield line.endsWith("\r") ? line.slice(0, -1) : line;
  }
  rest += decoder.decode();
  if (rest !== "") yield rest.endsWith("\r") ? rest.slice(0, -1) : rest;
}

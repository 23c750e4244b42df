// Colours and emphasis for people. Off for pipes, for TERM=dumb and where NO_COLOR is set (https://no-color.org).
import { isRedrawable, type Terminal, type TerminalStream } from "./terminal.js";

const CODES = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39], cyan: [36, 39] } as const;

/** Each function wraps text in its escape codes, or returns it as it is. */
export type Style = Readonly<Record<keyof typeof CODES, (text: string) => string>>;

/** The style that suits a stream. */
export function styleFor(stream: TerminalStream, env: Terminal["env"]): Style {
  const enabled = isRedrawable(stream, env) && (env["NO_COLOR"] ?? "") === "";
  const paint = (name: keyof typeof CODES) => (text: string) =>
    enabled && text !== "" ? `\u001B[${CODES[name][0]}m${text}\u001B[${CODES[name][1]}m` : text;
  return { bold: paint("bold"), dim: paint("dim"), red: paint("red"), green: paint("green"), yellow: paint("yellow"), cyan: paint("cyan") };
}

const plain = (text: string): string => text;

/** Never any colours: for text that goes into files. */
export const styleOff: Style = { bold: plain, dim: plain, red: plain, green: plain, yellow: plain, cyan: plain };

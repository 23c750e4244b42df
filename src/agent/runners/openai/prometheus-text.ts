// Reads the Prometheus text exposition format, version 0.0.4: one `name{label="value",…} value [timestamp]` per line.
// Called by `engine-load.ts`. Picks samples by name: a page of an inference engine has thousands, and a few of them matter here.

/** One line of the page. */
export interface Sample {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  /** May be NaN or infinite. */
  readonly value: number;
}

const NAME = /^[a-zA-Z_:][a-zA-Z0-9_:]*/;
/** One label and the comma behind it, from `lastIndex` on. */
const LABEL = /\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(,|(?=\}))/y;
const ESCAPES: Readonly<Record<string, string>> = { "\\n": "\n", '\\"': '"', "\\\\": "\\" };
const INFINITE: Readonly<Record<string, number>> = { "+Inf": Infinity, "Inf": Infinity, "-Inf": -Infinity };

/** The samples whose name is among `wanted`, in their order. Comments, other names and lines that break the format are skipped. */
export function samplesOf(text: string, wanted: ReadonlySet<string>): Sample[] {
  const samples: Sample[] = [];
  for (const line of text.split("\n")) {
    const name = NAME.exec(line)?.[0];
    if (name === undefined || !wanted.has(name)) continue;
    const sample = sampleOf(name, line.slice(name.length).trimStart());
    if (sample !== null) samples.push(sample);
  }
  return samples;
}

/** `rest` is the line behind the name. */
function sampleOf(name: string, rest: string): Sample | null {
  const labels = new Map<string, string>();
  let at = 0;
  if (rest.startsWith("{")) {
    LABEL.lastIndex = at = 1;
    for (let label = LABEL.exec(rest); label !== null; label = LABEL.exec(rest)) {
      labels.set(label[1] ?? "", (label[2] ?? "").replaceAll(/\\[n"\\]/g, (escape) => ESCAPES[escape] ?? escape));
      at = LABEL.lastIndex;
    }
    const end = /^\s*\}/.exec(rest.slice(at));
    if (end === null) return null;
    at += end[0].length;
  }
  // Behind the value may come a time stamp, or, from an OpenMetrics server, an exemplar.
  const [word = ""] = rest.slice(at).trim().split(/\s+/, 1);
  const value = INFINITE[word] ?? (word === "NaN" ? Number.NaN : word === "" ? null : Number(word));
  return value === null || (Number.isNaN(value) && word !== "NaN") ? null : { name, labels, value };
}

import { describe, expect, test } from "@jest/globals";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";

import { azureCsv } from "../../../../../src/sim/workload/formats/azure-csv.js";
import { detectFormat, fileFormat } from "../../../../../src/sim/workload/formats/detect-format.js";
import { mooncakeJsonl } from "../../../../../src/sim/workload/formats/mooncake-jsonl.js";
import { readTrace, type TraceRow } from "../../../../../src/sim/workload/formats/trace-format.js";

async function file(content: string | Uint8Array, name = "trace"): Promise<string> {
  const where = path.join(await mkdtemp(path.join(tmpdir(), "trace-")), name);
  await writeFile(where, content);
  return where;
}

async function rows(where: string): Promise<TraceRow[]> {
  const all: TraceRow[] = [];
  for await (const row of readTrace(where, await fileFormat(where))) all.push(row);
  return all;
}

const HEADING = "TIMESTAMP,ContextTokens,GeneratedTokens";

describe("lines", () => {
  test.each([
    ["2023-11-16 18:17:03.9799600,4808,10", { atMs: Date.UTC(2023, 10, 16, 18, 17, 3) + 979.96, inputTokens: 4808, outputTokens: 10 }],
    ["2024-05-10 00:00:00.009930+00:00,2162,5", { atMs: Date.UTC(2024, 4, 10) + 9.93, inputTokens: 2162, outputTokens: 5 }],
    ["2023-11-16 18:17:03,1,0", { atMs: Date.UTC(2023, 10, 16, 18, 17, 3), inputTokens: 1, outputTokens: 0 }],
    ["2023-11-16 18:17:03.97,4808", null],
    ["2023-11-16 18:17:03.97,-1,5", null],
    ["2023-13-16 18:17:03.97,1,5", null],
    ["2023-11-16 18:17:03.97,1,99999999", null],
    ["", null],
  ])("Azure row %j", (line, expected) => {
    const row = azureCsv.parse(line);
    if (expected === null) expect(row).toBeNull();
    else expect(row).toEqual({ ...expected, atMs: expect.closeTo(expected.atMs, 2) });
  });

  test.each([
    ['{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47]}', { atMs: 27_482, inputTokens: 6955, outputTokens: 52, prefixHashes: [46, 47] }],
    ['{"timestamp": 0, "input_length": 1, "output_length": 0}', { atMs: 0, inputTokens: 1, outputTokens: 0 }],
    ['{"timestamp": "0", "input_length": 1, "output_length": 0}', null],
    ['{"timestamp": 0, "input_length": 1.5, "output_length": 0}', null],
    ['{"timestamp": 0, "input_length": 1}', null],
    ['{"timestamp": 0, "input_length": 1, "output_length": 0, "hash_ids": [-1]}', null],
    ["[1]", null],
    ["null", null],
    ["{", null],
  ])("Mooncake row %j", (line, expected) => {
    expect(mooncakeJsonl.parse(line)).toEqual(expected);
  });

  test("the first line tells the format, or that it is neither", () => {
    expect(detectFormat(HEADING)).toBe(azureCsv);
    expect(detectFormat('"TIMESTAMP", "ContextTokens", "GeneratedTokens"')).toBe(azureCsv);
    expect(detectFormat('{"timestamp": 0, "input_length": 1, "output_length": 0}')).toBe(mooncakeJsonl);
    expect(detectFormat("arrived_at,num_prefill_tokens")).toBeNull();
  });
});

describe("files", () => {
  test("CRLF, LF, blank lines and a last line without an end all read the same, plain and gzipped", async () => {
    const lines = [HEADING, "2023-11-16 18:00:00.5,1,2", "2023-11-16 18:00:01.5,3,4"];
    const contents = [lines.join("\n"), `${lines.join("\r\n")}\r\n`, `\uFEFF${lines.join("\n\n")}\n`];
    const all = await Promise.all([...contents, gzipSync(contents[1] ?? "")].map(async (content) => rows(await file(content))));
    for (const each of all) expect(each).toEqual(all[0]);
    expect(all[0]?.map(({ inputTokens }) => inputTokens)).toEqual([1, 3]);
  });

  test("a file that is neither format is refused with what would have been read", async () => {
    await expect(rows(await file("a,b\n1,2\n"))).rejects.toThrow(/is neither an Azure CSV \(first line TIMESTAMP,.*Mooncake JSONL .* its first line is: a,b$/s);
    await expect(rows(await file(""))).rejects.toThrow(/is empty/);
    await expect(rows(path.join(tmpdir(), "no-such-trace"))).rejects.toThrow(/cannot read the trace .*ENOENT/);
  });

  test("a broken row and a time that goes back are named by file and line", async () => {
    const broken = await file(`${HEADING}\n2023-11-16 18:00:00.5,1,2\nnonsense\n`);
    await expect(rows(broken)).rejects.toThrow(`${broken}:3: not a row of a Azure CSV trace: nonsense`);
    const other = await file("a,b\n1,2\n");
    await expect(readTrace(other, azureCsv).next()).rejects.toThrow(`${other}:1: the first line of a Azure CSV trace is ${HEADING}, not: a,b`);
    const back = await file(`${HEADING}\n2023-11-16 18:00:01,1,2\n2023-11-16 18:00:00,1,2\n`);
    await expect(rows(back)).rejects.toThrow(`${back}:3: time goes back: sort the trace by time first`);
  });

  test("a gzip file that was cut off is an error, not a short trace", async () => {
    const whole = gzipSync(Array.from({ length: 5000 }, (_, index) => `{"timestamp":${index},"input_length":${index * 7919 % 8191},"output_length":1}`).join("\n"));
    await expect(rows(await file(whole.subarray(0, whole.length - 200)))).rejects.toThrow(/cannot read the trace .*unexpected end of file/);
  });

  test("a file without line ends does not fill the memory", async () => {
    await expect(rows(await file(Buffer.alloc(3 << 20, "x")))).rejects.toThrow(/a line of more than 1048576 characters/);
  });
});

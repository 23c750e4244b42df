import { describe, expect, test } from "@jest/globals";
import { mkdtemp, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { gzipSync } from "node:zlib";

import { fileFormat } from "../../../../../src/sim/workload/formats/detect-format.js";
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
const AT = Date.UTC(2023, 10, 16, 18, 17, 3);

/** The one row of a file. */
const rowOf = async (...lines: readonly string[]): Promise<TraceRow | undefined> => (await rows(await file(lines.join("\n"))))[0];

describe("times", () => {
  test.each([
    ["2023-11-16 18:17:03.9799600", AT + 979.96],
    ["2023-11-16 18:17:03", AT],
    ["2023-11-16T18:17:03Z", AT],
    ["2024-05-10 00:00:00.009930+00:00", Date.UTC(2024, 4, 10) + 9.93],
    ["2023-11-16T20:17:03.5+02:00", AT + 500],
    ["2023-11-16 12:47:03-0530", AT],
    ["1700158623.25", AT + 250],
    ["1700158623250", AT + 250],
    ["1700158623250000", AT + 250],
    ["12.5", 12_500],
  ])("%s", async (text, atMs) => {
    expect(await rowOf(HEADING, `${text},4808,10`)).toEqual({ atMs: expect.closeTo(atMs, 2), inputTokens: 4808, outputTokens: 10 });
  });

  test("are on the calendar when they have a date or count from 1970", async () => {
    const calendar = async (text: string): Promise<boolean> => (await fileFormat(await file(`${HEADING}\n${text},1,1\n`))).calendar;
    expect([await calendar("2023-11-16 18:17:03"), await calendar("1700158623"), await calendar("1700158623250"), await calendar("3600")]).toEqual([true, true, true, false]);
  });

  test("are in the unit that the column names, or that is told", async () => {
    expect((await rowOf("arrival_time_ms,input_tokens,output_tokens", "1500,1,1"))?.atMs).toBe(1500);
    expect((await rowOf("Arrival time (s),input_tokens,output_tokens", "1.5,1,1"))?.atMs).toBe(1500);
    const where = await file(`${HEADING}\n1500000,1,1`);
    const format = await fileFormat(where, { timeUnit: "us" });
    for await (const row of readTrace(where, format)) expect(row.atMs).toBe(1500);
  });
});

describe("columns", () => {
  const same = { atMs: 1000, inputTokens: 7, outputTokens: 3 };

  test("are found by their names, in any order, beside others, whatever their case, spaces and quotes", async () => {
    expect(await rowOf("GeneratedTokens,note,TIMESTAMP,ContextTokens", "3,hello,1,7")).toEqual(same);
    expect(await rowOf('"timestamp", "context tokens", "Generated_Tokens", "note"', '1,7,3,"one, two"')).toEqual(same);
    expect(await rowOf("TIMESTAMP;ContextTokens;GeneratedTokens", "1;7;3")).toEqual(same);
    expect(await rowOf("TIMESTAMP\tContextTokens\tGeneratedTokens", "1\t7\t3")).toEqual(same);
  });

  test("of numbers may have fractions", async () => {
    expect(await rowOf(HEADING, "1,7.0,3.4")).toEqual(same);
  });

  test.each([
    ["Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type", "5,ChatGPT,472,18,490,Conversation log", { atMs: 5000, inputTokens: 472, outputTokens: 18, model: "ChatGPT", sender: "Conversation log" }],
    ["Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type", "5,17,2.5,GPT-4,472,18,490,API log", { atMs: 5000, inputTokens: 472, outputTokens: 18, model: "GPT-4", sender: "API log", sessionKey: "17" }],
    ["arrived_at,num_prefill_tokens,num_decode_tokens", "0.25,374,44", { atMs: 250, inputTokens: 374, outputTokens: 44 }],
    ["", '{"timestamp": 27482, "input_length": 6955, "output_length": 52, "hash_ids": [46, 47], "chat_id": 159, "model": "m"}', { atMs: 27_482, inputTokens: 6955, outputTokens: 52, prefixHashes: [46, 47], sessionKey: "159", model: "m" }],
    ["", '{"ts_ms": 12, "user": "ann", "prompt_tokens": 6, "completion_tokens": 5}', { atMs: 12, inputTokens: 6, outputTokens: 5, sender: "ann" }],
    ["submit_time,run_time,user", "60,30,ann", { atMs: 60_000, inputTokens: 0, outputTokens: 0, workMs: 30_000, sender: "ann" }],
  ])("of %s %s", async (heading, line, expected) => {
    expect(await rowOf(...(heading === "" ? [line] : [heading, line]))).toEqual(expected);
  });

  test("of other names can be told", async () => {
    const where = await file("when_ms,in,out\n1000,7,3");
    const format = await fileFormat(where, { columns: { time: "when_ms", inputTokens: "in", outputTokens: "out" } });
    expect(format.name).toBe("table of requests");
    for await (const row of readTrace(where, format)) expect(row).toEqual(same);
    await expect(fileFormat(where, { columns: { time: "whence" } })).rejects.toThrow(`${where}:1: there is no column "whence": there are when_ms, in, out`);
  });
});

describe("hashes", () => {
  const hashesOf = async (ids: string): Promise<readonly number[] | undefined> => (await rowOf(`{"timestamp": 0, "input_length": 1, "output_length": 0, "hash_ids": ${ids}}`))?.prefixHashes;

  test("of 32 bits stay as they are", async () => expect(await hashesOf("[0, 7, 4294967295]")).toEqual([0, 7, 4_294_967_295]));

  test("of more bits, and texts, are folded, and stay apart", async () => {
    const folded = await hashesOf('[9223372036854775806, 9223372036854775807, -5, 4294967296, "a3f0", "a3f1"]');
    expect(new Set(folded).size).toBe(6);
    for (const each of folded ?? []) expect(Number.isInteger(each) && each >= 0 && each <= 0xffff_ffff).toBe(true);
    expect(await hashesOf('[9223372036854775806, 9223372036854775807, -5, 4294967296, "a3f0", "a3f1"]')).toEqual(folded);
  });

  test("may be missing on some rows", async () => {
    const where = await file('{"timestamp": 0, "input_length": 1, "output_length": 0}\n{"timestamp": 1, "input_length": 1, "output_length": 0, "hash_ids": [3]}\n');
    expect((await rows(where)).map(({ prefixHashes }) => prefixHashes)).toEqual([undefined, [3]]);
  });

  test("that are none are refused", async () => await expect(hashesOf("[{}]")).rejects.toThrow(/"hash_ids" is \[\{\}\], which is no list of at most 32,768 hashes/));
});

describe("the grid", () => {
  const gridMs = async (times: readonly number[]): Promise<number> => (await fileFormat(await file(times.map((timestamp) => JSON.stringify({ timestamp, input_length: 1, output_length: 1 })).join("\n")))).gridMs;
  const at = (count: number, of: (place: number) => number): number[] => Array.from({ length: count }, (_, place) => of(place));

  test("is what times were rounded to, roughly", async () => {
    expect(await gridMs(at(300, (place) => Math.floor(place / 4) * 3000))).toBe(3000);
    expect(await gridMs(at(300, (place) => Math.floor(place / 4) * 3000 - (Math.floor(place / 4) % 3)))).toBe(3000);
    expect(await gridMs(at(300, (place) => Math.floor((place * 370) / 1000) * 1000))).toBe(1000);
  });

  test("is none where times are exact, regular, or few", async () => {
    expect(await gridMs(at(300, (place) => place * 371))).toBe(0);
    expect(await gridMs(at(300, (place) => place * 60_000))).toBe(0);
    expect(await gridMs([0, 0, 3000])).toBe(0);
  });

  test("is what is told, if it is", async () => {
    const where = await file(`${HEADING}\n1,1,1\n`);
    expect((await fileFormat(where, { gridMs: 5000 })).gridMs).toBe(5000);
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

  test("a file that is no trace is refused with what is missing", async () => {
    await expect(rows(await file("a,b\n1,2\n"))).rejects.toThrow(/:1: this is no trace that is known\. It has the columns a, b; what is missing for a Azure CSV: TIMESTAMP, ContextTokens, GeneratedTokens; .*columns: \{ time: /s);
    await expect(rows(await file("TIMESTAMP,ContextTokens\n1,2\n"))).rejects.toThrow(/Azure CSV: GeneratedTokens;/);
    const where = await file("a,b\n1,2\n");
    await expect(fileFormat(where, { format: "azure" })).rejects.toThrow("this is no trace of the format azure");
    await expect(fileFormat(where, { format: "mooncake" })).rejects.toThrow("what is missing for a Mooncake JSONL: it is a CSV, and not one JSON object a line");
    await expect(rows(await file(""))).rejects.toThrow(/is empty/);
    await expect(rows(path.join(tmpdir(), "no-such-trace"))).rejects.toThrow(/cannot read the trace .*ENOENT/);
  });

  test("a broken row is named by file, line and column; in order, a time that goes back too", async () => {
    const broken = await file(`${HEADING}\n2023-11-16 18:00:00.5,1,2\nnonsense\n`);
    await expect(rows(broken)).rejects.toThrow(`${broken}:3: not a row of a Azure CSV: the column "TIMESTAMP" is "nonsense", which is no time`);
    const many = await file(`${HEADING}\n1,1,99999999\n`);
    await expect(rows(many)).rejects.toThrow(`${many}:2: not a row of a Azure CSV: the column "GeneratedTokens" is "99999999", which is no number of tokens (0 to 16,777,216): 1,1,99999999`);
    const back = await file(`${HEADING}\n2023-11-16 18:00:01,1,2\n2023-11-16 18:00:00,1,2\n`);
    expect(await rows(back)).toHaveLength(2);
    const inOrder = readTrace(back, await fileFormat(back), true);
    await inOrder.next();
    await expect(inOrder.next()).rejects.toThrow(`${back}:3: time goes back: sort the trace by time first`);
  });

  test("a gzip file that was cut off is an error, not a short trace", async () => {
    const whole = gzipSync(Array.from({ length: 5000 }, (_, index) => `{"timestamp":${index},"input_length":${index * 7919 % 8191},"output_length":1}`).join("\n"));
    await expect(rows(await file(whole.subarray(0, whole.length - 200)))).rejects.toThrow(/cannot read the trace .*unexpected end of file/);
  });

  test("a file without line ends does not fill the memory", async () => {
    await expect(rows(await file(Buffer.alloc(3 << 20, "x")))).rejects.toThrow(/a line of more than 1048576 characters/);
  });
});

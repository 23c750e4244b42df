// The kernel's log as it is followed: a file stands in for the device, a script for journalctl.
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, afterEach, describe, expect, test } from "@jest/globals";
import { openJournal } from "../../../../../src/agent/probes/kernel-log/journal-command.js";
import { KernelLog, type KernelLogOptions } from "../../../../../src/agent/probes/kernel-log/kernel-log.js";
import { LineSplitter, type OpenLineSource } from "../../../../../src/agent/probes/kernel-log/line-source.js";
import { testWith } from "../requirement.js";
import { eventually } from "../../../eventually.js";

const posixTest = testWith(process.platform !== "win32", "a system where a script with #! is a program, to stand in for journalctl");
const folder = mkdtempSync(path.join(tmpdir(), "kernel-log-"));
const file = (name: string): string => path.join(folder, name);
const open: { close(): void }[] = [];

afterEach(() => open.splice(0).forEach((each) => each.close()));
afterAll(() => rmSync(folder, { recursive: true }));

function script(name: string, body: string): string {
  writeFileSync(file(name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
  return file(name);
}

interface Followed {
  readonly log: KernelLog;
  readonly lines: string[];
  readonly notes: string[];
}

function follow(options: KernelLogOptions): Followed {
  const lines: string[] = [];
  const notes: string[] = [];
  const log = new KernelLog({ firstRetryMs: 10, maxRetryMs: 40, note: (text, trouble) => notes.push(`${trouble ? "trouble" : "well"}: ${text}`), ...options }, (line) => lines.push(line));
  open.push(log);
  return { log, lines, notes };
}

describe("the device", () => {
  test("is read from now on: what stood there before is no news", async () => {
    writeFileSync(file("kmsg"), "old\n".repeat(2_500));
    const { log, lines, notes } = follow({ source: file("kmsg") });
    await log.start();
    expect(notes).toEqual([`well: Xid errors of the GPUs come from the kernel's log, read from ${file("kmsg")}.`]);
    appendFileSync(file("kmsg"), "new\n");
    await eventually(() => lines.length > 0);
    expect(lines).toEqual(["new"]);
  });

  test("that is not there is told of once with what to do, tried again with pauses, and read when it is", async () => {
    const { log, lines, notes } = follow({ source: file("later") });
    await log.start();
    expect(notes).toEqual([expect.stringMatching(/^trouble: The kernel's log cannot be read.*no such file.*probe\.kernel_log: off/s)]);
    writeFileSync(file("later"), "");
    await eventually(() => notes.length > 1);
    expect(notes[1]).toMatch(/^well: /);
    appendFileSync(file("later"), "it works\n");
    await eventually(() => lines.length > 0);
    expect(lines).toEqual(["it works"]);
  });

  test("is not touched when the log is off", async () => {
    const { log, notes } = follow({ source: "off" });
    await log.start();
    expect(notes).toEqual([]);
  });
});

describe("the journal", () => {
  const opened = async (command: string, lines: string[] = []): Promise<OpenLineSource> => {
    const source = await openJournal(command, (line) => lines.push(line));
    open.push(source);
    return source;
  };

  posixTest("gives the kernel's messages from now on", async () => {
    const lines: string[] = [];
    await opened(script("journalctl", `echo "$@"; exec sleep 600`), lines);
    await eventually(() => lines.length > 0);
    expect(lines).toEqual(["--dmesg --follow --lines=0 --output=cat --no-pager"]);
  });

  posixTest.each([
    ["it may not be read", "echo 'No journal files were opened due to insufficient permissions.' >&2; exit 1", /may not be read/],
    ["it shows the user's own messages alone", "echo 'Hint: You are currently not seeing messages from other users and the system.' >&2; exec sleep 600", /may not be read/],
    ["it ends at once", "echo broken >&2; exit 3", /exit code 3: broken/],
  ])("is refused when %s", async (_when, body, reason) => {
    await expect(opened(script("refused", body))).rejects.toThrow(reason);
  });

  test("is refused where there is no journalctl", async () => {
    await expect(opened(file("nowhere"))).rejects.toThrow("not found");
  });

  posixTest("that ends later says why", async () => {
    const { ended } = await opened(script("ends", `while [ ! -e "${file("end")}" ]; do sleep 0.05; done; exit 7`));
    writeFileSync(file("end"), "");
    await expect(ended).resolves.toContain("exit code 7");
  });
});

test("lines that come in pieces are put together, and cut where they are too long", () => {
  const lines: string[] = [];
  const splitter = new LineSplitter((line) => lines.push(line));
  splitter.push("one\ntw");
  splitter.push("o\n");
  for (let piece = 0; piece < 100; piece += 1) splitter.push("x".repeat(1_000));
  splitter.push("\nthree\n");
  expect(lines.map((line) => line.slice(0, 5))).toEqual(["one", "two", "xxxxx", "three"]);
  expect(lines[2]).toHaveLength(8_192);
});

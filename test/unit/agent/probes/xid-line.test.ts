import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "@jest/globals";
import { pciBusIdOf, readXidLine, type XidLine } from "../../../../src/agent/probes/xid-line.js";
import { meaningOfXid } from "../../../../src/core/health/xid.js";
import { testWith } from "./requirement.js";
import { hasXids, MISSING_TRACES, XIDS } from "./traces.js";

test.each<[string, XidLine | null]>([
  ["NVRM: Xid (PCI:0000:05:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus.", { pciBusId: "0000:05:00", xid: 79, detail: "GPU has fallen off the bus." }],
  ["[111.1] NVRM: Xid (PCI:0000:9B:00): 119, pid=2024380, name=nvidia-smi, Timeout after 6s", { pciBusId: "0000:9b:00", xid: 119, detail: "Timeout after 6s" }],
  ["NVRM: Xid (PCI:0000:01:00): 31, pid=1234", { pciBusId: "0000:01:00", xid: 31, detail: "" }],
  ["NVRM: Xid (0000:03:00): 14, Channel 00000001", { pciBusId: "0000:03:00", xid: 14, detail: "Channel 00000001" }],
  ["NVRM: Xid (PCI:0000:03:00 GPU-I:05): 45, pid=7", { pciBusId: "0000:03:00", xid: 45, detail: "" }],
  ["NVRM: Xid (PCI:0000:03:00 GPU-I:05 GPU-CI:00): 31, pid=7, name=x, Ch 00000001", { pciBusId: "0000:03:00", xid: 31, detail: "Ch 00000001" }],
  ["NVRM: Xid (PCI:0000:03:00.0): 45", { pciBusId: "0000:03:00", xid: 45, detail: "" }],
  ["6,1234,5678,-;NVRM: Xid (PCI:0000:03:00): 13, Graphics Exception\n", { pciBusId: "0000:03:00", xid: 13, detail: "Graphics Exception" }],
  ["NVRM: GPU at PCI:0000:9b:00: GPU-509665ad-b600-ac93-3616-d754b23d636d", null],
  ["somebody writes NVRM: Xid (PCI:zzzz): 79, of his own", null],
  ["", null],
])("%j", (line, expected) => {
  expect(readXidLine(line)).toEqual(expected);
});

test("a PCI address is the same however it is written", () => {
  expect(["00000000:9B:00.0", "0000:9b:00", "0000:9B:00.0"].map(pciBusIdOf)).toEqual(["0000:9b:00", "0000:9b:00", "0000:9b:00"]);
});

testWith(hasXids, MISSING_TRACES)("every Xid line of real kernel logs is read, and its meaning is known", () => {
  const lines = ["dmesg-xid-lines.txt", "dmesg-with-xid-119.log"].flatMap((file) => readFileSync(path.join(XIDS, file), "utf8").split("\n")).filter((line) => line.includes("NVRM: Xid"));
  expect(lines.length).toBeGreaterThan(70);
  for (const line of lines) {
    const read = readXidLine(line);
    expect([line, read]).toEqual([line, { pciBusId: expect.stringMatching(/^[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}$/), xid: expect.any(Number), detail: expect.any(String) }]);
    if (!read) continue;
    const { xidClass } = meaningOfXid(read.xid, read.detail);
    // The driver's own word on its links is followed.
    const severity = /\b(Fatal|Nonfatal)\b/.exec(line)?.[1];
    if (severity) expect([line, xidClass]).toEqual([line, severity === "Fatal" ? "reset" : "notice"]);
    if (read.xid === 154) expect(xidClass).toBe("reset");
    if (read.xid === 79 || read.xid === 119) expect(xidClass).toBe("fatal");
    if (read.xid === 31) expect(xidClass).toBe("application");
  }
});

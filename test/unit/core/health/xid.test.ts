import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "@jest/globals";
import { meaningOfXid, type XidClass } from "../../../../src/core/health/xid.js";
import { hasXids, MISSING_TRACES, XIDS } from "../../agent/probes/traces.js";
import { testWith } from "../../agent/probes/requirement.js";

test.each<[number, string, XidClass]>([
  [13, "", "application"],
  [31, "pid=1234, name=python, MMU Fault", "application"],
  [43, "", "application"],
  [45, "", "application"],
  [48, "", "reset"],
  [63, "", "warning"],
  [64, "", "reset"],
  [74, "", "reset"],
  [79, "GPU has fallen off the bus.", "fatal"],
  [94, "", "warning"],
  [95, "", "fatal"],
  [119, "", "fatal"],
  [120, "", "fatal"],
  [149, "", "warning"],
  [149, "NETIR_LINK_EVT Fatal XC0 i0 Link 08", "reset"],
  [145, "RLW_SRC_TRACK Nonfatal XC1 i0 Link 12", "notice"],
  [154, "", "warning"],
  [154, "GPU recovery action changed from 0x0 (None) to 0x1 (GPU Reset Required)", "reset"],
  [154, "GPU recovery action changed from 0x0 (None) to 0x2 (Node Reboot Required)", "fatal"],
  [154, "GPU recovery action changed from 0x0 (None) to 0x4 (Drain and Reset)", "reset"],
  [154, "GPU recovery action changed from 0x4 (Drain and Reset) to 0x0 (None)", "notice"],
])("Xid %i %j means %s", (xid, detail, xidClass) => {
  expect(meaningOfXid(xid, detail).xidClass).toBe(xidClass);
});

test.each([0, 1, 200, 999, 4_000_000_000])("an Xid that is not known, such as %i, is a warning: it degrades and does no more", (xid) => {
  expect(meaningOfXid(xid)).toEqual({ xidClass: "warning", text: "an error of a kind that is not known" });
});

const testCatalogue = testWith(hasXids, MISSING_TRACES);

interface Row {
  readonly xid: number;
  readonly description: string;
  readonly immediate: string;
  readonly investigatory: string;
}

/** The public catalogue; descriptions hold commas inside quotes. */
function catalogue(): readonly Row[] {
  const lines = readFileSync(path.join(XIDS, "xid-catalogue.csv"), "utf8").trim().split("\n").slice(1);
  return lines.map((line) => {
    const [xid = "", , description = "", immediate = "", investigatory = ""] = line.replaceAll(/"[^"]*"/g, "quoted").split(",");
    return { xid: Number(xid), description, immediate, investigatory };
  });
}

testCatalogue("every Xid that NVIDIA's catalogue answers with a reset or a restart of the machine takes the GPU out of service", () => {
  const rows = catalogue().filter(({ immediate }) => immediate === "RESET_GPU" || immediate === "RESTART_BM");
  expect(rows.length).toBeGreaterThan(10);
  const kept = rows.filter(({ xid }) => !["reset", "fatal"].includes(meaningOfXid(xid).xidClass));
  expect(kept).toEqual([]);
});

testCatalogue("every Xid for which it has the application checked counts against nobody's GPU", () => {
  const rows = catalogue().filter(({ investigatory }) => investigatory === "CHECK_APP/CUDA");
  expect(rows.length).toBeGreaterThan(3);
  expect(rows.filter(({ xid }) => meaningOfXid(xid).xidClass !== "application")).toEqual([]);
});

testCatalogue("no Xid that it has ignored takes a GPU out of service", () => {
  const rows = catalogue().filter(({ immediate }) => immediate === "IGNORE");
  expect(rows.length).toBeGreaterThan(10);
  expect(rows.filter(({ xid }) => ["reset", "fatal"].includes(meaningOfXid(xid).xidClass))).toEqual([]);
});

testCatalogue("every Xid that it does not call unused has a meaning of its own", () => {
  const rows = catalogue().filter(({ description }) => description !== "Unused");
  expect(rows.length).toBeGreaterThan(90);
  expect(rows.filter(({ xid }) => meaningOfXid(xid).text === meaningOfXid(9_999).text)).toEqual([]);
});

test.each<[string, XidClass]>([
  ["Xid, fatal", "fatal"],
  ["Xid, needs a reset", "reset"],
  ["Xid of an application", "application"],
])("docs/health.md lists each %s", (title, xidClass) => {
  const row = readFileSync("docs/health.md", "utf8").split("\n").find((line) => line.startsWith(`| ${title}:`)) ?? "";
  const listed = (row.split("|")[1]?.match(/\d+/g) ?? []).map(Number);
  const real = Array.from({ length: 200 }, (_, xid) => xid).filter((xid) => meaningOfXid(xid).xidClass === xidClass);
  expect(listed).toEqual(real);
});

// The reader of nvidia-smi's XML and indented text: what it takes, what it refuses.
import { describe, expect, test } from "@jest/globals";
import * as fc from "fast-check";
import { all, find, numberIn, readSmiText, readSmiXml, textOf } from "../../../../src/agent/probes/smi-tree.js";

describe("XML", () => {
  test("gives elements, texts and entities; attributes, comments and the document type are left out", () => {
    const root = readSmiXml('<?xml version="1.0"?>\n<!DOCTYPE log SYSTEM "x.dtd">\n<log><!-- <a> --><gpu id="0"><n> a &amp; b &lt;c&gt; &#65;&#x42; &nope; </n><e /></gpu><gpu/></log>\n');
    expect(root.name).toBe("log");
    expect(all(root, "gpu")).toHaveLength(2);
    expect(textOf(root, "gpu", "n")).toBe("a & b <c> AB &nope;");
    expect(find(root, "gpu", "e")).toEqual({ name: "e", text: "", children: [] });
    expect(find(root, "gpu", "none", "deeper")).toBeUndefined();
  });

  test.each([
    ["an element that is not closed", "<a><b></b>", "<a> is not closed"],
    ["a wrong closing", "<a>\n<b></a>", "line 2: </a> closes nothing"],
    ["a closing too many", "<a></a></a>", "</a> closes nothing"],
    ["two roots", "<a></a><b></b>", "one root element"],
    ["text beside the root", "<a></a> Failed to initialize NVML", "one root element"],
    ["no XML at all", "NVIDIA-SMI has failed", "one root element"],
    ["nothing", "", "one root element"],
    ["a tag cut in the middle", "<a><b", "this is no XML"],
    ["elements too deep", "<a>".repeat(40), "nested too deep"],
  ])("refuses %s", (_, xml, message) => {
    expect(() => readSmiXml(xml)).toThrow(message);
  });

  test("either reads or refuses any text, quickly", () => {
    const piece = fc.constantFrom("<a>", "</a>", "<b/>", "<", ">", "&#x110000;", "<!--", "-->", "<?", "x", "\n");
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        try {
          readSmiXml(pieces.join(""));
        } catch (error) {
          expect(String(error)).toMatch(/^Error: nvidia-smi XML, line \d+: /);
        }
      }),
    );
    const startedAt = performance.now();
    expect(() => readSmiXml(`<a>${"<".repeat(200_000)}`)).toThrow();
    expect(() => readSmiXml(`<a>${"<!-- ".repeat(40_000)}`)).toThrow();
    expect(performance.now() - startedAt).toBeLessThan(2000);
  });
});

test("indented text gives the same kind of tree", () => {
  const tree = readSmiText("GPU 00000000:83:00.0\n    FB Memory Usage\n        Total            : 10 MiB\n    Used by : a : b\n\n        stray\nEnd\n");
  expect(textOf(tree, "gpu_00000000:83:00.0", "fb_memory_usage", "total")).toBe("10 MiB");
  expect(textOf(tree, "gpu_00000000:83:00.0", "used_by")).toBe("a : b");
  expect(find(tree, "end")).toBeDefined();
});

test.each([
  ["81559 MiB", 81_559],
  ["0 %", 0],
  ["67.03 W", 67.03],
  ["-3", -3],
  ["N/A", undefined],
  ["[N/A]", undefined],
  ["[Unknown Error]", undefined],
  ["[Insufficient Permissions]", undefined],
  ["16x", undefined],
  ["0x10", undefined],
  ["", undefined],
])("the number in %j is %p", (text, number) => {
  expect(numberIn(text)).toBe(number);
});

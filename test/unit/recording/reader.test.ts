import { readFile, truncate, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, expect, test } from "@jest/globals";
import { Recording } from "../../../src/recording/reader.js";
import { verify } from "../../../src/recording/replay.js";
import { recordedFile, temporaryFolder } from "./recorded-file.js";

async function written(bytes: Uint8Array | string): Promise<string> {
  const file = path.join(await temporaryFolder(), "some.rec");
  await writeFile(file, bytes);
  return file;
}

/** Offsets at which frames begin, and the end of the file. */
function frameOffsets(bytes: Buffer): number[] {
  const offsets = [bytes.indexOf("\n") + 1];
  while (offsets.at(-1)! < bytes.byteLength) offsets.push(offsets.at(-1)! + 4 + bytes.readUInt32LE(offsets.at(-1)));
  return offsets;
}

describe("a file that is not whole", () => {
  test("gives what is whole: wherever it was cut, the last entry that is not is left out and counted", async () => {
    const { file } = await recordedFile(2, 900);
    const bytes = await readFile(file);
    const [, , ...starts] = frameOffsets(bytes);
    const last = starts.at(-2)!;
    const before = starts.at(-3)!;
    for (const end of [last, last + 1, last + 3, last + 4, last + 5, bytes.byteLength - 1, before + 10, before]) {
      await truncate(file, 0);
      await writeFile(file, bytes.subarray(0, end));
      const result = await verify(await Recording.open(file));
      expect(result.first).toBeNull();
      expect(result.ending).toEqual({ kind: "cut", droppedBytes: end - (end >= last ? last : before) });
      expect(result.decisions).toBeGreaterThan(0);
    }
  });

  test("may end in rubbish, as a crash of the machine leaves it", async () => {
    const { file } = await recordedFile(2, 900);
    const bytes = await readFile(file);
    const last = frameOffsets(bytes).at(-2)!;
    bytes.fill(0, last + 8);
    await writeFile(file, bytes);
    expect((await verify(await Recording.open(file))).ending).toEqual({ kind: "cut", droppedBytes: bytes.byteLength - last });
  });

  test("is refused when it was changed in the middle", async () => {
    const { file } = await recordedFile(2, 900);
    const bytes = await readFile(file);
    const second = frameOffsets(bytes)[1]!;
    bytes[second + 20] = 255 - bytes[second + 20]!;
    await writeFile(file, bytes);
    await expect(verify(await Recording.open(file))).rejects.toThrow(`${file} cannot be read: it is damaged at byte ${second}: its checksum is not that of its bytes`);
  });

  test("is refused when not even its header is whole", async () => {
    const bytes = await readFile((await recordedFile(2, 10)).file);
    await expect(Recording.open(await written(bytes.subarray(0, 100)))).rejects.toThrow("it ends within its header");
  });
});

test.each([
  ["a foreign file", "timestamp,tokens\n1,2\n", "it is not a recording of gpu-router: make one with `gpu-router serve --record FILE`"],
  ["an empty file", "", "it is not a recording of gpu-router"],
  ["a newer format", "gpu-router recording, format 2\nwhatever", "it has recording format 2, this version reads 1: use the version that made it, or a later one"],
])("%s is told apart", async (_, text, message) => {
  const file = await written(text);
  await expect(Recording.open(file)).rejects.toThrow(message);
  await expect(Recording.open(file)).rejects.toThrow(file);
});

test("a file that is not there is named", async () => {
  await expect(Recording.open("no/such.rec")).rejects.toThrow(/no\/such\.rec/);
});

test("the header tells settings and versions as they were", async () => {
  const { file } = await recordedFile(2, 10);
  const { header } = await Recording.open(file);
  expect(header).toMatchObject({ version: "test", node: process.version, hashedUsers: false, snapshot: null });
  expect(header.settings.maxQueuedRequests).toBe(40);
});

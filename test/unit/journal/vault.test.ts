import { createSecretKey, randomBytes } from "node:crypto";
import { chmodSync, writeFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "@jest/globals";
import { CorruptJournalError } from "../../../src/journal/codec.js";
import { readVaultKey, vaultKey } from "../../../src/journal/vault-key.js";
import { KeyVault, PLAIN, vaultFor } from "../../../src/journal/vault.js";
import { temporaryFolder } from "./temporary-folder.js";

const KEY = vaultKey(Buffer.alloc(32, 7), "data.key");
const value = Buffer.from("a prompt that nobody else should read");

describe("a vault with a key", () => {
  test("gives back what it sealed, in this life and in later ones, of any size", () => {
    const vault = new KeyVault(KEY);
    for (const size of [0, 1, 15, 16, 17, 4096, 1 << 20]) {
      const bytes = randomBytes(size);
      const stored = vault.seal("log 1", bytes);
      expect(stored.byteLength).toBe(size + 40);
      expect(vault.open("log 1", stored).equals(bytes)).toBe(true);
      expect(new KeyVault(KEY).open("log 1", stored).equals(bytes)).toBe(true);
    }
  });

  test("remembers a bounded number of earlier lives, and still reads all of them", () => {
    const stored = Array.from({ length: 600 }, (_, life) => new KeyVault(KEY).seal("log 1", Buffer.from(`${life}`)));
    const vault = new KeyVault(KEY);
    for (const [life, bytes] of [...stored.entries(), ...stored.entries()]) expect(vault.open("log 1", bytes).toString()).toBe(`${life}`);
  });

  test("never seals alike: not in one life, not in two, not on one place", () => {
    const [one, two] = [new KeyVault(KEY), new KeyVault(KEY)];
    const stored = [one, one, two, two].map((vault) => vault.seal("log 1", value));
    expect(new Set(stored.map((bytes) => bytes.toString("hex"))).size).toBe(4);
    // Lives and counters: what the nonce and its key are made of.
    expect(new Set(stored.map((bytes) => bytes.subarray(0, 24).toString("hex"))).size).toBe(4);
    expect(new Set(stored.map((bytes) => bytes.subarray(24).toString("hex"))).size).toBe(4);
  });

  test("notices every changed bit, every cut, another place and another key", () => {
    const vault = new KeyVault(KEY);
    const stored = vault.seal("finished a", value);
    for (let bit = 0; bit < stored.byteLength * 8; bit += 1) {
      const changed = Buffer.from(stored);
      changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
      expect(() => vault.open("finished a", changed)).toThrow(CorruptJournalError);
    }
    for (let length = 0; length < stored.byteLength; length += 1) expect(() => vault.open("finished a", stored.subarray(0, length))).toThrow(CorruptJournalError);
    expect(() => vault.open("finished b", stored)).toThrow("What is stored as finished b was changed, or was sealed with another key.");
    expect(() => new KeyVault(vaultKey(Buffer.alloc(32, 8), "")).open("finished a", stored)).toThrow(CorruptJournalError);
  });

  test("blinds a name always alike and unlike others", () => {
    const [one, other] = [new KeyVault(KEY), new KeyVault(vaultKey(Buffer.alloc(32, 8), ""))];
    expect(one.blind("job-1")).toBe(new KeyVault(KEY).blind("job-1"));
    expect(one.blind("job-1")).toMatch(/^[\w-]{22}$/);
    expect(new Set([one.blind("job-1"), one.blind("job-2"), one.blind(""), other.blind("job-1")]).size).toBe(4);
  });

  test("leaves of an id that begins with a time that time alone, so that ids of one moment lie together", () => {
    const vault = new KeyVault(KEY);
    const [one, two] = ["018bcfe5-6800-7aaa-8bbb-cccccccccccc", "018bcfe5-6800-7aaa-8bbb-cccccccccccd"].map((id) => vault.blind(id));
    for (const blinded of [one, two]) expect(blinded).toMatch(/^018bcfe5-6800[\w-]{22}$/);
    expect(one).not.toBe(two);
    for (const id of ["018bcfe5-6800-4aaa-8bbb-cccccccccccc", "018bcfe5-6800-7aaa-8bbb-cccccccccccc-bob", "018bcfe5-6800-7bob"]) expect(vault.blind(id)).toMatch(/^[\w-]{22}$/);
  });
});

describe("the vault for a file", () => {
  const other = vaultKey(Buffer.alloc(32, 8), "other.key");

  test("is that of the key, or none, for a new file and for one that says so", () => {
    expect(vaultFor("j", null, null)).toBe(PLAIN);
    expect(vaultFor("j", null, "")).toBe(PLAIN);
    expect(vaultFor("j", KEY, null).keyId).toBe(KEY.id);
    expect(vaultFor("j", KEY, KEY.id).keyId).toBe(KEY.id);
  });

  test("is refused, with what to do, where key and file do not go together", () => {
    expect(() => vaultFor("j", null, KEY.id)).toThrow(`j is encrypted, with key ${KEY.id}: name the file that holds it in journal.encryption_key_file`);
    expect(() => vaultFor("j", other, KEY.id)).toThrow(`j is encrypted with key ${KEY.id}, and other.key holds key ${other.id}: name the right file`);
    expect(() => vaultFor("j", KEY, "")).toThrow("j is not encrypted, and journal.encryption_key_file asks for that. Make an encrypted copy of the directory (gpu-router rekey --help)");
  });
});

describe("the key's file", () => {
  const write = async (text: string, mode = 0o600): Promise<string> => {
    const file = path.join(await temporaryFolder(), "data.key");
    writeFileSync(file, text);
    chmodSync(file, mode);
    return file;
  };
  const bytes = randomBytes(32);

  test("holds 32 bytes in base64 or hexadecimal, and its id does not give them away", async () => {
    const keys = await Promise.all([bytes.toString("base64"), `${bytes.toString("base64")}\n`, bytes.toString("hex"), `${bytes.toString("hex").toUpperCase()}\n`].map((text) => write(text)));
    for (const file of keys) expect(readVaultKey(file)).toMatchObject({ secret: createSecretKey(bytes), id: vaultKey(bytes, "").id, file });
    expect(vaultKey(bytes, "").id).toMatch(/^[0-9a-f]{16}$/);
    expect(bytes.toString("hex")).not.toContain(vaultKey(bytes, "").id);
    expect(readVaultKey("")).toBeNull();
  });

  test("that is missing, open to others or of another shape is refused with what to do, without quoting it", async () => {
    expect(() => readVaultKey("/nowhere/data.key")).toThrow("The encryption key /nowhere/data.key (journal.encryption_key_file) cannot be used: it is not there. Make one: (umask 077; openssl rand -base64 32 > FILE)");
    for (const mode of [0o640, 0o604, 0o620, 0o644]) {
      const file = await write(bytes.toString("base64"), mode);
      expect(() => readVaultKey(file)).toThrow(`others may read or write it (mode 0${mode.toString(8)}). Do: chmod 600 ${file}`);
    }
    for (const text of ["", "secret", randomBytes(31).toString("base64"), randomBytes(33).toString("hex"), `${bytes.toString("base64")} x`]) {
      const file = await write(text);
      const error = await Promise.resolve().then(() => readVaultKey(file)).catch((thrown: Error) => thrown);
      expect(error).toMatchObject({ message: expect.stringContaining("it must hold 32 random bytes") });
      if (text) expect((error as Error).message).not.toContain(text);
    }
  });
});

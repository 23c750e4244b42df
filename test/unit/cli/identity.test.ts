// keys, users, audit and whoami: on the data folder of a router that is stopped, and against one that runs.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { lockDirectory } from "../../../src/journal/directory-lock.js";
import { serveGuarded } from "../api/guarded.js";
import { run, testTerminal } from "./test-terminal.js";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "gpu-router-cli-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const offline = (...args: string[]) => run([...args, "--data", path.join(folder, "data")]);

describe("on the folder of a router that is stopped", () => {
  test("the first key must be an admin's; the key alone goes to stdout, and to nowhere else", async () => {
    expect(await offline("keys", "create", "--role", "user", "--user", "bob")).toEqual({
      code: 1,
      out: "",
      err: "gpu-router: the first key or user must have role admin, or nobody could make another\n",
    });
    const { code, out, err } = await offline("keys", "create", "--role", "admin");
    expect(code).toBe(0);
    expect(out).toMatch(/^gr_[0-9a-z]{12}_[\w-]{43}\n$/);
    expect(err).toBe(`${out.slice(0, 15)} for admin, admin. This is the only time that it is shown.\n`);
    expect((await offline("keys", "list")).out).not.toContain(out.trim().slice(16));
  });

  test("keys are listed with what became of them, and JSON has it for machines", async () => {
    await offline("keys", "create", "--role", "admin");
    const made = JSON.parse((await offline("keys", "create", "--role", "agent", "--node", "n1", "--node", "n2", "--user", "pool", "--label", "the rack", "--expires", "90d", "--json")).out) as { text: string; key: { key_id: string } };
    expect(made.key).toMatchObject({ user_id: "pool", roles: ["ROLE_AGENT"], node_ids: ["n1", "n2"], label: "the rack" });
    expect(made.text.startsWith(made.key.key_id)).toBe(true);
    expect((await offline("keys", "revoke", made.key.key_id, "--reason", "lost")).out).toBe(`${made.key.key_id} is revoked\n`);
    const { out } = await offline("keys", "list");
    expect(out).toMatch(/^KEY +USER +ROLES +STATE/);
    expect(out).toMatch(new RegExp(`${made.key.key_id} +pool +agent n1 n2 +revoked`));
    expect((JSON.parse((await offline("keys", "list", "--user", "admin", "--json")).out) as { keys: object[] }).keys).toHaveLength(1);
  });

  test("a key that is not there is said so, with exit code 1", async () => {
    await offline("keys", "create", "--role", "admin");
    expect(await offline("keys", "revoke", "gr_000000000000")).toEqual({ code: 1, out: "", err: 'gpu-router: no key with id "gr_000000000000"\n' });
  });

  test("users get their password from a file or stdin, never from an argument, and keep it unless told", async () => {
    const file = path.join(folder, "password");
    writeFileSync(file, "correct horse battery\n");
    await offline("keys", "create", "--role", "admin");
    expect((await offline("users", "put", "alice", "--role", "user", "--team", "blue", "--password-file", file)).out).toBe("alice is user, with a password\n");
    expect((await offline("users", "put", "alice", "--role", "user", "--role", "reader")).out).toBe("alice is user and reader, with a password\n");
    const typed = testTerminal({ stdin: "another good password\n" });
    expect((await run(["users", "put", "bob", "--role", "user", "--password-file", "-", "--data", path.join(folder, "data")], typed)).out).toBe("bob is user, with a password\n");
    expect((await offline("users", "put", "bob", "--role", "user", "--no-password")).out).toBe("bob is user, without a password\n");
    expect((await offline("users", "list")).out).toMatch(/alice +user and reader +- +yes[^]*bob +user +- +no/);
    expect((await offline("users", "delete", "alice")).out).toBe("alice is gone, with all keys\n");
    expect((await offline("users", "delete", "alice")).err).toBe('gpu-router: no user and no key of "alice"\n');
  });

  test("what is wrong is said before anything is done", async () => {
    await offline("keys", "create", "--role", "admin");
    writeFileSync(path.join(folder, "short"), "short");
    const errors = await Promise.all(
      [
        ["keys", "create"],
        ["keys", "create", "--role", "root"],
        ["keys", "create", "--role", "user", "--expires", "yesterday"],
        ["users", "put", "a", "--role", "agent"],
        ["users", "put", "a", "--role", "user", "--password-file", "/nowhere/password"],
      ].map(async (args) => (await run([...args, "--data", path.join(folder, "data")])).code),
    );
    expect(errors).toEqual([2, 2, 2, 2, 2]);
    for (const [args, said] of [
      [["keys", "create", "--role", "user"], "say with --user NAME whose key it is"],
      [["keys", "create", "--role", "agent", "--user", "x"], "role agent needs --node NAME"],
    ] as const) {
      expect(await offline(...args)).toMatchObject({ code: 2, err: expect.stringContaining(said) });
    }
    for (const [args, said] of [
      [["keys", "create", "--role", "user", "--user", "a:b"], "user_id: must be 1 to 128 characters"],
      [["users", "put", "a", "--role", "user", "--password-file", path.join(folder, "short")], "password: must have at least 12 characters"],
    ] as const) {
      expect(await offline(...args)).toMatchObject({ code: 1, err: expect.stringContaining(said) });
    }
    expect((JSON.parse((await offline("keys", "list", "--json")).out) as { keys: object[] }).keys).toHaveLength(1);
  });

  test("audit shows who did what, the newest first", async () => {
    const admin = (await offline("keys", "create", "--role", "admin")).out.slice(0, 15);
    await offline("keys", "revoke", admin, "--reason", "lost\u001b[31m");
    const { out } = await offline("audit");
    expect(out).toMatch(new RegExp(`^TIME[^]*key_revoked +done +${admin} +- +lost\ufffd\\[31m\n[^]*key_created +done +${admin}`));
    expect((await offline("audit", "--limit", "1")).err).toBe("There is more: raise --limit above 1.\n");
    expect((JSON.parse((await offline("audit", "--json")).out) as { entries: { act: string }[] }).entries.map(({ act }) => act)).toEqual(["key_revoked", "key_created"]);
  });

  test("while a router runs on it, it says how to go on", async () => {
    await offline("keys", "create", "--role", "admin");
    const lock = await lockDirectory(path.join(folder, "data"));
    const { code, err } = await offline("keys", "list");
    await lock.release();
    expect(code).toBe(1);
    expect(err).toMatch(/a router runs on .*data: leave out --data, and say with --router and --key \(an admin's\) which one it is/);
  });
});

describe("against a router that runs", () => {
  test("whoami says who one is, and every refusal says what to do", async () => {
    const { grpc, keys } = await serveGuarded();
    const call = (...args: string[]) => run([...args, "--router", grpc]);
    expect((await call("whoami", "--key", keys.user)).out).toBe(`user: user, by ${keys.user.slice(0, 15)}\n`);
    expect((await call("whoami", "--key", keys.agent)).out).toBe(`agent: agent, for node-1, by ${keys.agent.slice(0, 15)}\n`);
    expect(await call("whoami")).toMatchObject({ code: 1, err: expect.stringMatching(/does not let you in: this router wants to know who calls.*--key or GPU_ROUTER_API_KEY/) });
    expect(await call("users", "list", "--key", keys.user)).toMatchObject({ code: 1, err: expect.stringMatching(/you may not: .*needs role admin; you have user/) });
    expect(await call("gpus", "--key", "gr_a\nb")).toMatchObject({ code: 2, err: expect.not.stringContaining("gr_a") });
  });

  test("keys are made and revoked over the wire", async () => {
    const { grpc, keys, identity } = await serveGuarded();
    const call = (...args: string[]) => run([...args, "--router", grpc, "--key", keys.admin]);
    const made = (await call("keys", "create", "--role", "user", "--user", "dora")).out.trim();
    expect((await run(["whoami", "--router", grpc, "--key", made])).out).toContain("dora: user");
    expect((await run(["keys", "list", "--router", grpc, "--key", made])).out.trim().split("\n")).toHaveLength(2);
    await call("keys", "revoke", made.slice(0, 15));
    expect((await run(["whoami", "--router", grpc, "--key", made])).err).toContain("was revoked");
    expect(identity.acts()).toEqual(expect.arrayContaining(["key_created", "key_revoked"]));
  });
});

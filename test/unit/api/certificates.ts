// Certificates made by openssl for one test file: authorities, servers, clients. Where openssl is missing its tests say so and are
// skipped; they fail instead where GPU_ROUTER_REQUIRE_ALL is set.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "@jest/globals";

export const hasOpenssl = spawnSync("openssl", ["version"]).status === 0;
if (!hasOpenssl) process.stderr.write("Skipped: tests with certificates, because openssl is not installed\n");

/** `test`, or what stands in for it where there is no openssl. */
export const testWithOpenssl: typeof test = hasOpenssl || process.env["GPU_ROUTER_REQUIRE_ALL"] === "1" ? test : (test.skip as typeof test);

/** Files in PEM. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

export class Certificates {
  readonly directory = mkdtempSync(path.join(tmpdir(), "gpu-router-tls-"));
  #serial = 1;

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  file(name: string): string {
    return path.join(this.directory, name);
  }

  /** A certificate that signs others. */
  authority(name: string): Certificate {
    const made = this.#files(name);
    this.#openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", `/CN=${name}`, "-keyout", made.key, "-out", made.cert);
    return made;
  }

  /** A certificate by `authority`; `alternatives` such as "IP:127.0.0.1,DNS:localhost". */
  issue(name: string, authority: Certificate, { commonName = name, alternatives = "" } = {}): Certificate {
    const made = this.#files(name);
    const request = this.file(`${name}.csr`);
    const extensions = this.file(`${name}.ext`);
    writeFileSync(extensions, alternatives === "" ? "basicConstraints=CA:FALSE\n" : `subjectAltName=${alternatives}\n`);
    this.#openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", `/CN=${commonName}`, "-keyout", made.key, "-out", request);
    this.#openssl("x509", "-req", "-in", request, "-CA", authority.cert, "-CAkey", authority.key, "-set_serial", String((this.#serial += 1)), "-days", "1", "-extfile", extensions, "-out", made.cert);
    return made;
  }

  /** Puts the contents of one certificate into the files of another. */
  exchange(files: Certificate, by: Certificate): void {
    writeFileSync(files.cert, readFileSync(by.cert));
    writeFileSync(files.key, readFileSync(by.key));
  }

  #files(name: string): Certificate {
    return { cert: this.file(`${name}.crt`), key: this.file(`${name}.key`) };
  }

  #openssl(...args: readonly string[]): void {
    execFileSync("openssl", args, { stdio: "pipe" });
  }
}

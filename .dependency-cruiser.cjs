// The import directions of the architecture, one rule each; every comment says what to do instead.
// Run by test/tidy/imports.test.ts; by hand: npx depcruise src --config .dependency-cruiser.cjs

/** Forbids imports from `from` to everything of ours that `may` does not name. */
function only(folder, may, comment) {
  const allowed = [folder, ...may].map((name) => (name === "gen" ? "gen/" : `src/${name}(/|\\.ts$)`)).join("|");
  return {
    name: `${folder.replaceAll("/", "-")}-imports`,
    severity: "error",
    comment,
    from: { path: `^src/${folder}/` },
    to: { path: "^(src|gen)/", pathNot: `^(${allowed})` },
  };
}

/** @type {import("dependency-cruiser").IConfiguration} */
module.exports = {
  forbidden: [
    only("lib", [], "lib/ knows nothing of ours: move the domain's words out of it, or the code to the folder that owns them."),
    only("core", ["lib"], "core/ decides and nothing else: pass what it needs in as an event or a setting, return what it wants done as an effect."),
    only("link", ["lib", "gen"], "link/ is the protocol alone: give it values, let router/ and agent/ translate."),
    only("auth", ["core/model", "lib"], "auth/ finds out who calls: what it stores goes through its port (auth/identity-store.ts), what it says is for api/ to translate."),
    only("journal", ["core", "lib", "auth"], "journal/ stores what core/ records and auth/ keeps: let router/ hand it over."),
    only("recording", ["core", "lib", "journal"], "recording/ writes and reads what an engine was given and decided: let router/ tell it, cli/ and sim/ ask it."),
    only("callbacks", ["core", "lib", "journal"], "callbacks/ delivers what the journal keeps: let router/ hand in what is said and to whom."),
    only("observe", ["core", "lib", "gen"], "observe/ is told facts: have the caller pass them in."),
    only("config", ["core", "auth", "lib", "gen"], "config/ gives plain settings: the composition roots in router/, agent/ and cli/ hand them out."),
    only("wire", [], "wire/ binds any protobuf service to grpc-js: pass the descriptor in."),
    only("api", ["auth", "core/model", "lib", "gen", "wire"], "api/ translates and decides nothing: call the RouterPort (api/router-port.ts), which router/ implements."),
    only("agent", ["link", "lib", "gen", "wire", "simulated-gpu"], "agent/ runs beside GPUs without a router: what both need belongs to link/, wire/ or lib/."),
    only("integrations", ["core", "lib", "gen", "observe"], "integrations/ talk to other systems through ports: let router/ wire them."),
    only("sim", ["core", "link", "journal", "recording", "lib", "simulated-gpu"], "sim/ drives the core itself: no transport, no process around it."),
    only("console", ["gen"], "console/ runs in a browser and talks to the API through gen/ only."),
    {
      name: "router-imports",
      severity: "error",
      comment: "router/ is what the commands and the simulator stand on: move what both need down into core/ or link/.",
      from: { path: "^src/router/" },
      to: { path: "^src/(cli|sim|console)/" },
    },
    {
      name: "cli-is-the-top",
      severity: "error",
      comment: "Nothing imports cli/: move the shared part to the folder that owns the subject.",
      from: { path: "^src/", pathNot: "^src/cli/" },
      to: { path: "^src/cli/" },
    },
    {
      name: "gen-imports-nothing-of-ours",
      severity: "error",
      comment: "gen/ is generated from proto/: change the contract, not the stub.",
      from: { path: "^gen/" },
      to: { path: "^src/" },
    },
    {
      name: "pure-core",
      severity: "error",
      comment: "core/ and lib/ use no module from outside: time, randomness and I/O come in as arguments. Copy a data structure into lib/ if it is small.",
      from: { path: "^src/(core|lib)/" },
      to: { dependencyTypes: ["core", "npm", "npm-dev", "npm-optional", "npm-peer", "npm-no-pkg", "unknown"] },
    },
    {
      name: "no-cycles",
      severity: "error",
      comment: "A cycle that exists at run time: move what both sides need into a file of its own.",
      from: { path: "^(src|gen)/" },
      // Types vanish when compiled; the core's records and state, say, describe each other.
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "resolvable",
      severity: "error",
      comment: "The import resolves to nothing: check the path and its .js ending.",
      from: { path: "^src/" },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["import", "node", "types"] },
  },
};

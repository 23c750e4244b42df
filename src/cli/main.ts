#!/usr/bin/env -S node --max-semi-space-size=64
// The executable `gpu-router`: gives the process's arguments and streams to the command line.
// The young generation is large because a request lives for a commit or two: with the default its objects are copied again and again.
import { logVerbosity, setLogVerbosity } from "@grpc/grpc-js";
import { runCli } from "./run-cli.js";
import { processTerminal } from "./terminal.js";

// What goes wrong on a connection is said by whoever made it, once and in its own words.
if (process.env["GRPC_VERBOSITY"] === undefined) setLogVerbosity(logVerbosity.NONE);

// A reader that has seen enough (`| head`) is no error.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit();
    throw error;
  });
}

process.exitCode = await runCli(process.argv.slice(2), processTerminal());

// How long-running commands end: the first signal drains, the second one ends the process at once.

const EXIT_BY_SIGNAL = 130;

/**
 * Resolves once the process was asked to stop and `stop` has finished. `note` tells people what happens on the first signal.
 */
export function untilStopped(stop: () => Promise<void>, note: (text: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let stopping = false;
    const onSignal = (): void => {
      if (stopping) process.exit(EXIT_BY_SIGNAL);
      stopping = true;
      note("Stopping: finishing what is under way. Press Ctrl-C again to stop at once; accepted requests are safe either way.");
      stop().then(resolve, reject);
    };
    process.on("SIGINT", onSignal);
    process.on("SIGTERM", onSignal);
  });
}

/** Ends the process after the journal refused a commit: memory is ahead of the disk. The next start recovers. */
export function exitOnJournalFailure(write: (text: string) => void): (error: Error) => void {
  return (error) => {
    write(
      `gpu-router: the journal could not be written (${error.message}). Nothing that was acknowledged is lost. ` +
        "Make room on its disk, or repair it, and start again.\n",
    );
    process.exit(74);
  };
}

// How long-running commands end: the first signal drains, the second one ends the process at once.

const EXIT_BY_SIGNAL = 130;
/** One Ctrl-C can arrive twice: from the terminal, and passed on by the program that started this one. */
const SAME_SIGNAL_MS = 300;

/**
 * Resolves once the process was asked to stop and `stop` has finished. `note` tells people what happens on the first signal.
 */
export function untilStopped(stop: () => Promise<void>, note: (text: string) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    let firstAtMs = 0;
    const onSignal = (): void => {
      if (firstAtMs > 0 && performance.now() - firstAtMs < SAME_SIGNAL_MS) return;
      if (firstAtMs > 0) process.exit(EXIT_BY_SIGNAL);
      firstAtMs = performance.now();
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

/**
 * The CPU time that this process has used, in milliseconds: what a test measures that asks whether some input makes the code
 * hang. On a machine that is busy with other things it is what it is on an idle one, which the clock's time is not.
 */
export function cpuTimeMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

/** Far more than any input of these tests needs; quadratic work on texts of their size takes minutes to hours. */
export const HANG_LIMIT_MS = 20_000;

/**
 * How long something may take by the clock that takes `milliseconds` on a quiet machine: as many times longer as a process has
 * to wait for the CPU now, which a loop of 100 ms finds out.
 */
export function allowedMs(milliseconds: number): number {
  const [begun, used] = [performance.now(), cpuTimeMs()];
  while (cpuTimeMs() - used < 100);
  return milliseconds * Math.max(1, (performance.now() - begun) / 100);
}

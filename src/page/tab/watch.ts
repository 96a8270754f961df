/**
 * Notices what nobody reports: a tab that was put to sleep, and a worker that says nothing any more. It is asked again and
 * again for what it sees, and reads no clock itself.
 */

/** Between two looks, ms. Browsers stretch it to a minute in tabs that nobody sees. */
export const LOOK_EVERY = 5_000;
/** A gap between looks that is sleep and no stretched timer, ms. */
const SLEEP = 5 * 60_000;
/** A working worker says something at least this often, ms; compiling programs may take long on a weak machine. */
const SILENCE = 90_000;

/** What was noticed. */
export type Noticed = { readonly what: "slept"; readonly minutes: number } | { readonly what: "silent" } | undefined;

/** Keeps the times. */
export class Watch {
  private looked: number;
  private heardAt: number;
  private isTold = false;

  constructor(now: number) {
    this.looked = now;
    this.heardAt = now;
  }

  /** The worker said something. */
  heard(now: number): void {
    this.heardAt = now;
    this.isTold = false;
  }

  /** Looks. `isExpected`: whether the worker should be saying something. Silence is told once. */
  look(now: number, isExpected: boolean): Noticed {
    const gap = now - this.looked;
    this.looked = now;
    if (gap >= SLEEP) {
      // The worker has slept as well, and now has its time again.
      this.heardAt = now;
      return { what: "slept", minutes: Math.round(gap / 60_000) };
    }
    if (!isExpected) this.heardAt = now;
    if (this.isTold || now - this.heardAt < SILENCE) return undefined;
    this.isTold = true;
    return { what: "silent" };
  }
}

/**
 * Work that is asked for more often than it should be done, as reading anew what a run has written: at once after a rest, else
 * when some time has passed since it last began. What is asked for meanwhile is done once, afterwards, and never put off by
 * asking again; two never overlap.
 */
export class Paced {
  private readonly work: () => Promise<void>;
  private readonly everyMs: number;
  private begunAt = Number.NEGATIVE_INFINITY;
  private timer: ReturnType<typeof setTimeout> | undefined;
  private isAsked = false;
  private isWorking = false;
  private isEnded = false;

  /** `work` does not throw. */
  constructor(everyMs: number, work: () => Promise<void>) {
    this.everyMs = everyMs;
    this.work = work;
  }

  ask(): void {
    this.isAsked = true;
    this.plan();
  }

  /** What is under way comes to its end; nothing begins any more. */
  end(): void {
    this.isEnded = true;
    clearTimeout(this.timer);
  }

  private plan(): void {
    if (!this.isAsked || this.isWorking || this.isEnded || this.timer !== undefined) return;
    const rest = this.begunAt + this.everyMs - performance.now();
    this.timer = setTimeout(() => void this.begin(), Math.max(0, rest));
  }

  private async begin(): Promise<void> {
    this.timer = undefined;
    this.isAsked = false;
    this.isWorking = true;
    this.begunAt = performance.now();
    await this.work();
    this.isWorking = false;
    this.plan();
  }
}

/** Rewards that go wrong in every way that a reward can, by what the completion says. */

export function perCompletion({ completion }) {
  switch (completion) {
    case "throw":
      throw new Error("no such column");
    case "NaN":
      return Number.NaN;
    case "text":
      return "good";
    case "nothing":
      return undefined;
    case "reasoned infinity":
      return { score: Number.POSITIVE_INFINITY, reason: "very good" };
    case "loop":
      for (;;);
    case "exit":
      return process.exit(3);
    case "memory": {
      let hoard = null;
      for (let i = 0; ; i++) hoard = { hoard, i };
    }
    case "promise of nothing":
      return new Promise(() => {});
    case "rejection":
      return Promise.reject(new TypeError("refused"));
    case "later":
      return new Promise((resolve) => setTimeout(() => resolve({ score: 0.5, reason: "slept" }), 20));
    case "loop later":
      return Promise.resolve().then(() => {
        for (;;);
      });
    default:
      return { score: completion.length, reason: "counted" };
  }
}

export const tooFew = { judgeBatch: (inputs) => inputs.slice(1).map(() => 1) };
export const hangs = {
  judgeBatch: () => {
    for (;;);
  },
};
export const alwaysHangs = () => new Promise(() => {});
export const hangsByCall = { judge: ({ completion }) => (completion === "hang" ? new Promise(() => {}) : 1) };
export const wrongKey = { score: () => 1 };
export const bothJudges = { judge: () => 1, judgeBatch: () => [1] };
export const noFunction = { judge: 1 };
export const misspelt = { judge: () => 1, savestate: () => 1 };
export const nothing = null;
export const described = { judge: () => 1, description: "counts" };
export const hasBadState = { judge: () => 1, saveState: () => 1n };
export const notAReward = 7;

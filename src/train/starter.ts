/**
 * A trainer as `aha init` offers it: what it learns from, how it is explained in a line, and the stage that is written for it,
 * as YAML with a comment on what one would change first. A trainer without one is not offered; its recipes are written by hand.
 */

/** What there may be to learn from: questions, answers to imitate, pairs of a better and a worse answer. */
export type Material = "prompts" | "demonstrations" | "pairs";

/** How long a stage that goes through examples is. */
interface Steps {
  readonly steps: number;
  readonly learningRate: number;
  readonly warmupSteps: number;
  readonly checkpointEvery: number;
}

/** Numbers to begin with. A stage takes those of its kind. */
export interface StarterNumbers {
  /** Of demonstrations. */
  readonly examples: Steps & { readonly batchTokens: number };
  /** Of what a policy samples itself. */
  readonly sampling: {
    readonly iterations: number;
    readonly prompts: number;
    readonly group: number;
    readonly tokens: number;
    readonly learningRate: number;
    readonly warmupSteps: number;
    readonly checkpointEvery: number;
  };
  readonly pairs: Omit<Steps, "warmupSteps"> & { readonly batchPairs: number };
  /** They were measured with the optimizer and the schedule of the recipe that they come from. */
  readonly isMeasured: boolean;
}

/** What a stage is written of. */
export interface StarterFacts {
  readonly numbers: StarterNumbers;
  /** The rewards of the task, as items of a list of YAML. */
  readonly rewards: readonly string[];
  /** A model's path or name as YAML has it; where the starter needs one. */
  readonly teacher: string;
}

/** A way to learn, by the name that is chosen. */
export interface StarterChoice {
  readonly name: string;
  /** In a line, for somebody who chooses. */
  readonly means: string;
  /** Whether a stage that imitates comes before it. */
  readonly coldStart: "always" | "forNewModels" | "never";
}

/** See the file's header. */
export interface Starter {
  /** Where it stands among what is offered, the usual one first: small numbers come first. */
  readonly rank: number;
  /** All of it is needed. */
  readonly learnsFrom: readonly Material[];
  readonly choices: readonly StarterChoice[];
  /** It asks rewards. */
  readonly isRewarded?: boolean;
  readonly needsTeacher?: boolean;
  /** Its stage may stand before those of others, which then begin with a model that knows the form of an answer. */
  readonly isColdStart?: boolean;
  /** What the run is to find out: of `who` ("the model") and `what` it is to learn ("school problems"). */
  question(who: string, what: string): string;
  /** An item of `stages`, line by line. */
  stage(facts: StarterFacts): readonly string[];
}

/** A number of a recipe: small ones as people write them. */
export const starterNumber = (value: number): string => (value < 0.01 ? value.toExponential(1) : String(value));

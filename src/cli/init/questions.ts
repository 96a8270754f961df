/** Questionnaire to a person, one at a time: a list to choose from, or a line of text. Enter takes what stands in brackets. */

import { createInterface, type Interface } from "node:readline";
import { ConfigError, nearestName, RunInterrupted } from "../../errors.ts";
import type { CommandContext } from "../command.ts";
import type { Style } from "../terminal-style.ts";
import type { Offered } from "./choices.ts";

/** Where answers come from: the keyboard, or lines that are piped in. */
export interface AnswerSource {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean };
  /** The terminal that shows what is typed; undefined where nobody types. */
  readonly output: NodeJS.WritableStream | undefined;
}

/** Asks one question after another; `close` gives the keyboard back. */
export class Questionnaire {
  readonly #context: CommandContext;
  readonly #style: Style;
  readonly #lines: Interface;
  readonly #waiting: AsyncIterator<string>;
  readonly #isTyped: boolean;
  #isStopped = false;

  constructor({ input, output }: AnswerSource, context: CommandContext, style: Style) {
    this.#context = context;
    this.#style = style;
    this.#isTyped = output !== undefined;
    this.#lines = createInterface({
      input,
      ...(output && { output, terminal: true }),
      crlfDelay: Number.POSITIVE_INFINITY,
    });
    this.#waiting = this.#lines[Symbol.asyncIterator]();
    // With a terminal of its own readline is told of Ctrl-C as a key, and the process gets no signal.
    this.#lines.on("SIGINT", this.#stop);
    context.signal.addEventListener("abort", this.#stop, { once: true });
  }

  readonly #stop = () => {
    this.#isStopped = true;
    this.#lines.close();
  };

  close(): void {
    this.#context.signal.removeEventListener("abort", this.#stop);
    this.#lines.close();
  }

  /** One of `choices`, by its number or name. */
  async choose<Name extends string>(
    question: string,
    choices: readonly Offered<Name>[],
    { option, usual = choices[0]!.name }: { readonly option: string; readonly usual?: Name },
  ): Promise<Name> {
    const width = Math.max(...choices.map(({ name }) => name.length));
    const lines = choices.map(({ name, means }, i) => `  ${i + 1}  ${name.padEnd(width)}  ${this.#style.dim(means)}\n`);
    this.#context.note(`\n${this.#style.bold(question)}\n${lines.join("")}`);
    const names = choices.map(({ name }) => name);
    return await this.#answer(option, usual, (given) => {
      const name = names[Number(given) - 1] ?? names.find((each) => each === given.toLowerCase());
      if (name !== undefined) return name;
      const nearest = nearestName(given, names);
      const hint = nearest === undefined ? "" : ` Is ${nearest} meant?`;
      throw new ConfigError(`Expected a number from 1 to ${names.length}, or one of ${names.join(", ")}.${hint}`);
    });
  }

  /** A line, as `read` understands it; where that throws a ConfigError it is asked again. */
  async line<T>(
    question: string,
    { option, usual, read }: { option: string; usual: string | undefined; read: (text: string) => T | Promise<T> },
  ): Promise<T> {
    this.#context.note(`\n${this.#style.bold(question)}\n`);
    return await this.#answer(option, usual, read);
  }

  async #answer<T>(option: string, usual: string | undefined, read: (text: string) => T | Promise<T>): Promise<T> {
    for (;;) {
      const given = (await this.#next(`${usual === undefined ? "" : `[${usual}] `}> `, option)) || usual;
      if (given === undefined) continue;
      try {
        return await read(given);
      } catch (error) {
        // Who types can mend it at once; of piped answers the next line answers something else.
        if (!this.#isTyped || !(error instanceof ConfigError)) throw error;
        this.#context.note(`${error.message}\n`);
      }
    }
  }

  async #next(prompt: string, option: string): Promise<string> {
    if (this.#isTyped) {
      this.#lines.setPrompt(prompt);
      this.#lines.prompt();
    } else this.#context.note(prompt);
    const { done, value } = this.#isStopped ? { done: true, value: undefined } : await this.#waiting.next();
    if (this.#isStopped) throw new RunInterrupted("Stopped; nothing was written.");
    if (done)
      throw new ConfigError(
        `The answers ended here. Give this one with --${option}, or take the usual ones with --yes.`,
      );
    if (!this.#isTyped) this.#context.note("\n");
    return (value as string).trim();
  }
}

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { main } from "../../src/cli/main.ts";
import { recordedConsole } from "./console.ts";

/** Runs the program in this process. */
async function aha(...args: string[]) {
  const console = recordedConsole();
  const code = await main(args, console);
  return { code, stdout: console.stdout(), stderr: console.stderr() };
}

describe("aha", () => {
  for (const args of [[], ["--help"], ["-h"], ["help"]]) {
    it(`lists its commands: aha ${args.join(" ")}`, async () => {
      const { code, stdout } = await aha(...args);
      expect(code).toBe(0);
      for (const name of ["init", "run", "eval", "chat", "data", "reward", "model", "completion"])
        expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
    });
  }

  it("lists no command that is not there", async () => {
    const listed = [...(await aha("--help")).stdout.matchAll(/^ {2}([a-z]+) /gm)].map((match) => match[1]);
    const files = readdirSync(join(import.meta.dirname, "../../src/cli"));
    for (const name of listed) expect(files).toContain(`${name}.ts`);
  });

  it("tells each command's help", async () => {
    for (const name of ["init", "run", "eval", "chat", "data", "reward", "model", "completion"]) {
      const { code, stdout, stderr } = await aha(name, "--help");
      expect([code, stderr]).toEqual([0, ""]);
      expect(stdout).toContain(`aha ${name}`);
    }
  });

  it("tells its version", async () => {
    const { version } = JSON.parse(readFileSync(join(import.meta.dirname, "../../package.json"), "utf8")) as {
      version: string;
    };
    expect(await aha("--version")).toEqual({ code: 0, stdout: `${version}\n`, stderr: "" });
  });

  it("names the nearest command for one that is not there", async () => {
    expect(await aha("rnu")).toEqual({
      code: 1,
      stdout: "",
      stderr: 'aha: "rnu" is not a command. Did you mean "aha run"?\n',
    });
    expect((await aha("brew-coffee")).stderr).toContain("There are: init, run, doctor, eval");
  });

  it("says what is wrong without a stack", async () => {
    const { code, stderr } = await aha("run", "/nowhere/recipe.yaml");
    expect(code).toBe(1);
    expect(stderr).toBe("aha: Cannot read /nowhere/recipe.yaml: it does not exist.\n");
  });

  it("keeps the stack of a defect of its own", async () => {
    const broken = {
      ...recordedConsole(),
      out: () => {
        throw new TypeError("out is broken");
      },
    };
    expect(await main(["--version"], broken)).toBe(1);
    expect(broken.stderr()).toMatch(/defect of Aha[\s\S]*TypeError: out is broken\n\s+at /);
  });
});

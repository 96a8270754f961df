/** The code: the files that this page runs, as they stand in the repository, with the lines that are computed now. */

import loss from "raw:losses/grpo.ts";
import equation from "raw:rewards/equation.ts";
import advantages from "raw:rollout/advantages.ts";
import loop from "raw:train/grpo/grpo.ts";
import { useMemo, useState } from "preact/hooks";
import { type CodePiece, codeLines, linesOfPhase } from "./code-lines.ts";
import { useTab } from "./store.ts";

const FILES = [
  { path: "src/train/grpo/grpo.ts", text: loop, about: "The loop. This is the very file that trains in this tab." },
  {
    path: "src/rollout/advantages.ts",
    text: advantages,
    about: "From rewards to advantages: each answer and its group.",
  },
  { path: "src/losses/grpo.ts", text: loss, about: "The loss; the recipe takes its mean over all tokens (DAPO)." },
  { path: "src/rewards/equation.ts", text: equation, about: "The rule that says what is right." },
] as const;

/** The tab. */
export function CodeTab() {
  const [path, setPath] = useState<string>(FILES[0].path);
  const phase = useTab((state) => state.phase?.phase);
  const file = FILES.find((one) => one.path === path)!;
  const lines = useMemo(() => codeLines(file.text), [file]);
  // Phases change many times a second: a line that is not computed is the same element, and is not drawn again.
  const still = useMemo(() => lines.map((pieces, i) => <Line key={i} number={i + 1} pieces={pieces} />), [lines]);
  const now = file === FILES[0] ? linesOfPhase(file.text, phase) : [];
  return (
    <section class="code" aria-labelledby="code-title">
      <h2 id="code-title">The code that runs here</h2>
      <div class="choices" role="group" aria-label="File">
        {FILES.map((one) => (
          <button type="button" key={one.path} aria-pressed={one.path === path} onClick={() => setPath(one.path)}>
            {one.path}
          </button>
        ))}
      </div>
      <p class="soft">
        {file.about}
        {file === FILES[0] && " While it trains, the lines that are being computed are marked."}
      </p>
      <pre class="source" tabIndex={0} role="region" aria-label={`Text of ${file.path}`}>
        {still.map((line, i) =>
          now.includes(i + 1) ? <Line key={i} number={i + 1} pieces={lines[i]!} isNow /> : line,
        )}
      </pre>
    </section>
  );
}

function Line({
  number,
  pieces,
  isNow = false,
}: {
  readonly number: number;
  readonly pieces: readonly CodePiece[];
  readonly isNow?: boolean;
}) {
  return (
    <code class={isNow ? "line now" : "line"}>
      <span class="line-number" aria-hidden="true">
        {isNow ? "▸" : ""}
        {number}
      </span>
      {pieces.map(({ text, kind }, i) =>
        kind === "plain" ? (
          text
        ) : (
          <span key={i} class={kind}>
            {text}
          </span>
        ),
      )}
      {"\n"}
    </code>
  );
}

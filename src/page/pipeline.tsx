/** A pipeline: what came from what, as a picture, and what each stage reached. */

import type { ComponentChildren } from "preact";
import type { PipelineCard, PipelineStage } from "../inspect/pipeline-answers.ts";
import { hashOf } from "./address.ts";
import { useCards } from "./cards.ts";
import { Loading, Missing, Notice, State } from "./marks.tsx";
import { duration, isShareStatistic, statisticName, valueText } from "./words.ts";

/** The page. */
export function PipelinePage({ id }: { readonly id: string }) {
  const { cards, error } = useCards();
  if (error !== "") return <Missing title={id} error={error} />;
  if (cards === undefined) return <Loading />;
  const card = cards.find((one): one is PipelineCard => one.id === id && one.kind === "pipeline");
  if (card === undefined) return <Missing title={id} error={`There is no pipeline ${id} here (any more).`} />;
  const suites = [...new Set(card.stages.flatMap(({ results }) => Object.keys(results)))];
  const columns = suites.flatMap((suite) => card.columns.map((name) => ({ suite, name })));
  const linkOf = (stage: string) => {
    const run = `${id}/stages/${stage}`;
    return cards.some((one) => one.id === run) ? hashOf({ page: "run", id: run }) : undefined;
  };
  return (
    <>
      <div class="headline">
        <h1>{card.name}</h1>
        <State state={card.state} />
      </div>
      <p class="question">{card.question}</p>
      <p class="soft">
        {card.stages.length} stages · {duration(card.seconds)} of work
        {card.seed === undefined ? "" : ` · seed ${card.seed}`}
      </p>
      {card.problem && <Notice kind="bad">{card.problem}</Notice>}
      <h2>What comes from what</h2>
      <Lineage stages={card.stages} linkOf={linkOf} />
      <h2>The stages</h2>
      <div class="scroll" tabIndex={0} role="region" aria-label="The stages">
        <table>
          <thead>
            <tr>
              <th>stage</th>
              <th>kind</th>
              <th>state</th>
              <th>time</th>
              {columns.map(({ suite, name }) => (
                <th key={suite + name}>
                  {suites.length > 1 ? `${suite} ` : ""}
                  {statisticName(name)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {card.stages.map((stage) => (
              <tr key={stage.name}>
                <th scope="row">
                  <Linked to={linkOf(stage.name)}>{stage.name}</Linked>
                  {stage.note && <span class="soft">{stage.note}</span>}
                </th>
                <td>{stage.kind}</td>
                <td>{stage.state}</td>
                <td>{stage.state === "waiting" ? "" : duration(stage.seconds)}</td>
                {columns.map(({ suite, name }) => {
                  const value = stage.results[suite]?.[name];
                  return (
                    <td key={suite + name}>{value === undefined ? "" : valueText(value, isShareStatistic(name))}</td>
                  );
                })}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

const BOX = { width: 150, height: 46, gapX: 46, gapY: 16 };
/** Below all boxes: a lane for each stage that stages farther on come from, so that no line passes behind a box. */
const LANE = { top: 16, gap: 9 };

/** Boxes in columns, each stage to the right of everything that it needs. */
function Lineage({
  stages,
  linkOf,
}: {
  readonly stages: readonly PipelineStage[];
  readonly linkOf: (stage: string) => string | undefined;
}) {
  const depth = new Map<string, number>();
  for (const { name, needs, state } of stages) {
    // What a stage needs is known when it has begun; until then it stands behind everything.
    const before = state === "waiting" ? Math.max(-1, ...depth.values()) : -1;
    depth.set(name, Math.max(before + 1, ...needs.map((need) => (depth.get(need) ?? -1) + 1)));
  }
  const filled = new Map<number, number>();
  const places = new Map(
    stages.map(({ name }) => {
      const column = depth.get(name)!;
      const row = filled.get(column) ?? 0;
      filled.set(column, row + 1);
      return [name, { x: 4 + column * (BOX.width + BOX.gapX), y: 4 + row * (BOX.height + BOX.gapY) }];
    }),
  );
  const isFar = (need: string, name: string) => depth.get(name)! - (depth.get(need) ?? 0) > 1;
  const lanes = stages
    .map(({ name }) => name)
    .filter((need) => stages.some(({ name, needs }) => needs.includes(need) && isFar(need, name)));
  const bottom = Math.max(0, ...[...places.values()].map(({ y }) => y + BOX.height));
  const laneOf = (need: string) => bottom + LANE.top + LANE.gap * lanes.indexOf(need);
  const width = 8 + Math.max(0, ...[...places.values()].map(({ x }) => x + BOX.width));
  const height = bottom + LANE.top + LANE.gap * lanes.length;
  const told = stages.map(
    ({ name, needs }) => `${name} ${needs.length > 0 ? `from ${needs.join(" and ")}` : "from nothing before it"}`,
  );
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label="What comes from what">
      <svg
        class="lineage"
        viewBox={`0 0 ${width} ${height}`}
        width={width}
        height={height}
        role="group"
        aria-label={told.join("; ")}
      >
        {stages.flatMap(({ name, needs }) =>
          needs.map((need) => {
            const [from, to] = [places.get(need), places.get(name)!];
            if (from === undefined) return null;
            const [x1, y1, x2, y2] = [from.x + BOX.width, from.y + BOX.height / 2, to.x, to.y + BOX.height / 2];
            const path = isFar(need, name)
              ? `${bent(x1, y1, x1 + BOX.gapX, laneOf(need))}H${x2 - BOX.gapX}${bentOn(x2 - BOX.gapX, laneOf(need), x2, y2)}`
              : bent(x1, y1, x2, y2);
            return <path key={need + name} class="edge" d={path} />;
          }),
        )}
        {stages.map((stage) => {
          const { x, y } = places.get(stage.name)!;
          const box = (
            <g class={`box ${stage.state}`} transform={`translate(${x} ${y})`}>
              <rect width={BOX.width} height={BOX.height} rx="7" />
              <text x="12" y="20">
                {short(stage.name)}
              </text>
              <text x="12" y="36" class="small">
                {short(stage.state === "waiting" ? "waiting" : [stage.kind, duration(stage.seconds)].join(" · "))}
              </text>
            </g>
          );
          const link = linkOf(stage.name);
          return (
            <Linked key={stage.name} to={link}>
              {box}
            </Linked>
          );
        })}
      </svg>
    </div>
  );
}

/** A line from one place to another that begins and ends level. */
function bent(x1: number, y1: number, x2: number, y2: number): string {
  return `M${x1} ${y1}${bentOn(x1, y1, x2, y2)}`;
}

function bentOn(x1: number, y1: number, x2: number, y2: number): string {
  const middle = (x1 + x2) / 2;
  return `C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`;
}

/** What stands for something that has a page of its own, or has none. */
function Linked({ to, children }: { readonly to: string | undefined; readonly children: ComponentChildren }) {
  if (to === undefined) return children;
  return <a href={to}>{children}</a>;
}

function short(text: string): string {
  return text.length > 21 ? `${text.slice(0, 20)}…` : text;
}

/** The list of runs and pipelines, live. */

import { useEffect, useState } from "preact/hooks";
import type { Card } from "../dashboard/known-runs.ts";
import { ask, type Connection, listen } from "./source.ts";

/** The cards, live. */
export function useCards(): {
  readonly cards: readonly Card[] | undefined;
  readonly connection: Connection;
  readonly error: string;
} {
  const [cards, setCards] = useState<readonly Card[]>();
  const [connection, setConnection] = useState<Connection>("connecting");
  const [error, setError] = useState("");
  useEffect(() => {
    ask<readonly Card[]>("/api/runs").then(setCards, (reason: Error) => setError(reason.message));
    return listen(
      "/api/events",
      (value) => {
        setCards(value as readonly Card[]);
        setError("");
      },
      setConnection,
    );
  }, []);
  return { cards, connection, error };
}

/** The model as files: downloaded, opened, kept in this browser, forgotten. And what computes it. */

import { useEffect, useRef, useState } from "preact/hooks";
import { count, inBytes } from "../../number-text.ts";
import type { StorageMessage } from "../../web/protocol.ts";
import { ConfirmButton } from "./confirm.tsx";
import { droppedFiles } from "./dropped-files.ts";
import { isBusy } from "./state.ts";
import { store, useTab } from "./store.ts";
import { send } from "./worker-link.ts";

/** The box; the whole page takes what is dropped on it. */
export function ModelBox() {
  const worker = useTab((state) => state.worker);
  const run = useTab((state) => state.run);
  const storage = useTab((state) => state.storage);
  const dropped = useTab((state) => state.dropped);
  const isDownloading = useTab((state) => state.isDownloading);
  const picker = useRef<HTMLInputElement>(null);
  const isOver = useDropping(worker === "ready");
  const canAct = worker === "ready";
  return (
    <section class="model-box" aria-labelledby="model-title">
      <h2 id="model-title">The model is yours</h2>
      <p class="deeds">
        <button
          type="button"
          disabled={!canAct || isDownloading || run === undefined}
          onClick={() => send({ type: "download" })}
        >
          {isDownloading ? "Packing …" : "Download"}
        </button>
        <button type="button" disabled={!canAct || isBusy(run)} onClick={() => picker.current?.click()}>
          Open a checkpoint
        </button>
        <input
          ref={picker}
          class="hidden"
          type="file"
          multiple
          tabIndex={-1}
          aria-label="Files of a checkpoint"
          accept=".zip,.json,.safetensors"
          onChange={({ currentTarget }) => {
            const files = [...(currentTarget.files ?? [])].map((blob) => ({ path: blob.name, blob }));
            currentTarget.value = "";
            if (files.length > 0) send({ type: "drop", files });
          }}
        />
      </p>
      <p class="soft">
        The download is safetensors in the Hugging Face layout: unzip it, then <code>npm run aha -- chat</code> its
        folder. A checkpoint can be dropped anywhere on this page.
      </p>
      {dropped && (
        <p role="status">
          Opened {dropped.name}, {count(dropped.parameters)} parameters. Start a run from it above.
        </p>
      )}
      <Kept storage={storage} />
      {isOver && (
        <div class="drop-here" aria-hidden="true">
          <p>Drop the checkpoint: its files, its folder, or the zip</p>
        </div>
      )}
    </section>
  );
}

function Kept({ storage }: { readonly storage: StorageMessage | undefined }) {
  const run = useTab((state) => state.run);
  if (storage === undefined) return <p class="soft kept">&nbsp;</p>;
  if (storage.state === "none") {
    return (
      <p class="kept">This browser lets the page keep nothing (a private window?): closing the tab loses the run.</p>
    );
  }
  return (
    <div class="soft kept">
      {storage.state === "full" ? "The last save did not fit. " : "Closing the tab loses nothing. "}
      {inBytes(storage.usedBytes)} are kept in this browser{" "}
      <ConfirmButton
        label="Forget"
        title="Forget what is kept?"
        isQuiet
        disabled={storage.usedBytes === 0 || isBusy(run)}
        onConfirm={() => send({ type: "forget" })}
      >
        The saved run is deleted from this browser, and the run on this page ends with it.
      </ConfirmButton>
    </div>
  );
}

/** What computes, and why it is not something faster. */
export function WhereItComputes() {
  const ready = useTab((state) => state.ready);
  const { backend, threads = 1, backendReason, isIsolated = true } = ready ?? {};
  return (
    <section class="model-box where" aria-labelledby="where-title">
      <h2 id="where-title">Where it computes</h2>
      <p class="soft">
        On this machine alone; nothing that you type or train leaves it.{" "}
        {backend === "webgpu" && "The GPU computes (WebGPU)."}
        {backend === "wasm" && `The CPU computes (WebAssembly, ${threads} ${threads === 1 ? "thread" : "threads"}).`}{" "}
        {backendReason}
      </p>
      {!isIsolated && (
        <p>
          One thread has to do: the server of this page does not send the headers that threads need (COOP and COEP).{" "}
          <code>npm run web</code> sends them.
        </p>
      )}
    </section>
  );
}

/** Takes files that are dropped on the page; true while some are held over it. */
function useDropping(isOpen: boolean): boolean {
  const [isOver, setOver] = useState(false);
  useEffect(() => {
    const hasFiles = ({ dataTransfer }: DragEvent) => dataTransfer?.types.includes("Files") ?? false;
    const onOver = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      // Without this the browser would leave the page and show the file.
      event.preventDefault();
      setOver(isOpen);
    };
    const onLeave = ({ relatedTarget }: DragEvent) => {
      if (relatedTarget === null) setOver(false);
    };
    const onDrop = (event: DragEvent) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      setOver(false);
      if (!isOpen) return;
      droppedFiles(event.dataTransfer!).then(
        (files) => {
          if (files.length > 0) send({ type: "drop", files });
        },
        (error: unknown) => {
          const message = `What was dropped cannot be read: ${error instanceof Error ? error.message : String(error)}`;
          store.tell({ type: "trouble", kind: "damaged-checkpoint", message, isFatal: false });
        },
      );
    };
    addEventListener("dragover", onOver);
    addEventListener("dragleave", onLeave);
    addEventListener("drop", onDrop);
    return () => {
      removeEventListener("dragover", onOver);
      removeEventListener("dragleave", onLeave);
      removeEventListener("drop", onDrop);
    };
  }, [isOpen]);
  return isOver;
}

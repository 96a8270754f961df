/** A button that asks before it does something that cannot be undone. */

import type { ComponentChildren } from "preact";
import { useId, useRef } from "preact/hooks";

/** The button; `asks` false: it does it at once. */
export function ConfirmButton({
  label,
  title,
  disabled,
  asks = true,
  isQuiet = false,
  children,
  onConfirm,
}: {
  readonly label: string;
  /** The question, and below it what will happen. */
  readonly title: string;
  readonly children: ComponentChildren;
  readonly disabled: boolean;
  readonly asks?: boolean;
  readonly isQuiet?: boolean;
  readonly onConfirm: () => void;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const id = useId();
  const confirm = () => {
    dialog.current?.close();
    onConfirm();
  };
  return (
    <>
      <button
        type="button"
        class={isQuiet ? "quiet" : ""}
        disabled={disabled}
        onClick={() => (asks ? dialog.current?.showModal() : confirm())}
      >
        {label}
      </button>
      <dialog ref={dialog} aria-labelledby={id}>
        <h2 id={id}>{title}</h2>
        <p>{children}</p>
        <p class="deeds">
          <button type="button" class="main" onClick={confirm}>
            {label}
          </button>
          <button type="button" onClick={() => dialog.current?.close()}>
            Keep it
          </button>
        </p>
      </dialog>
    </>
  );
}

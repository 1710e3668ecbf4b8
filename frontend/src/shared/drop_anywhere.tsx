// Files that are dropped or pasted anywhere on the page.

import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { uploadAll } from "./sample_store";

export function DropAnywhere() {
  const inside = useSignal(false);
  useEffect(() => {
    let depth = 0;
    const hasFiles = (event: DragEvent): boolean => event.dataTransfer?.types.includes("Files") ?? false;
    const step = (change: number): void => {
      depth = Math.max(0, depth + change);
      inside.value = depth > 0;
    };
    window.addEventListener("dragenter", (event) => hasFiles(event) && step(1));
    window.addEventListener("dragleave", (event) => hasFiles(event) && step(-1));
    window.addEventListener("dragover", (event) => hasFiles(event) && event.preventDefault());
    window.addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      step(-Infinity);
      void uploadAll([...event.dataTransfer!.files]);
    });
    window.addEventListener("paste", (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (!files.length) return;
      event.preventDefault();
      void uploadAll(files);
    });
  }, []);
  return (
    <div class="dropping" hidden={!inside.value}>
      <p>Drop the image anywhere</p>
    </div>
  );
}

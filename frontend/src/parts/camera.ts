// One picture from the camera: a dialog with what it sees. The camera is let go as soon as the dialog closes.

import { h } from "../dom";
import type { Page } from "../page";
import { png } from "./files";

/** Ask the camera; `give` gets the picture. Where the page may not use it, the phone's own camera is asked. */
export async function camera(page: Page, give: (picture: File) => void): Promise<void> {
  const own = h("input", { type: "file", accept: "image/*", capture: "environment", class: "hidden" });
  own.addEventListener("change", () => own.files?.[0] && give(own.files[0]));
  if (!navigator.mediaDevices?.getUserMedia) {
    own.click(); // only pages from this machine or over https may see through a camera
    return;
  }
  let stream: MediaStream;
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
  } catch (error) {
    page.say(refusal(error as DOMException), "error");
    return;
  }
  const video = h("video", { autoplay: true, playsinline: true, "aria-label": "Camera preview" });
  video.muted = true;
  video.srcObject = stream;
  const dialog = h(
    "dialog",
    { class: "camera", "aria-label": "Camera" },
    video,
    h(
      "div",
      { class: "row" },
      h("button", { class: "main", onclick: () => void take() }, "Capture"),
      h("button", { onclick: () => dialog.close() }, "Cancel"),
      h("button", { class: "quiet", onclick: () => (dialog.close(), own.click()) }, "Camera app …"),
    ),
  );
  dialog.addEventListener("close", () => {
    for (const track of stream.getTracks()) track.stop();
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();

  async function take(): Promise<void> {
    const { videoWidth: width, videoHeight: height } = video;
    if (!width) return; // no frame yet
    const canvas = h("canvas", { width, height });
    canvas.getContext("2d")!.drawImage(video, 0, 0);
    dialog.close();
    give(new File([await png(canvas)], "photo.png", { type: "image/png" }));
  }
}

function refusal(error: DOMException): string {
  if (error.name === "NotAllowedError") return "The browser blocks the camera. Allow it in the address bar.";
  if (error.name === "NotFoundError") return "No camera was found.";
  return `The camera cannot be used: ${error.message || error.name}.`;
}

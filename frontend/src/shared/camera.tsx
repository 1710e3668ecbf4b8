// A photo from the camera, in a dialog. The camera is released as soon as the dialog closes.

import { render } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import { say } from "../state/app";
import { pngOf } from "./files";

/** Ask for a photo. Where the page may not use the camera, the phone's own app is opened. */
export async function openCamera(done: (photo: File) => void): Promise<void> {
  if (!navigator.mediaDevices?.getUserMedia) return openCameraApp(done); // needs https, or a page of this machine
  try {
    const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" }, audio: false });
    const host = document.createElement("div");
    document.body.append(host);
    const close = (): void => {
      for (const track of stream.getTracks()) track.stop();
      render(null, host);
      host.remove();
    };
    render(<CameraDialog stream={stream} done={done} close={close} />, host);
  } catch (error) {
    const { name, message } = error as DOMException;
    const reasons: Record<string, string> = {
      NotAllowedError: "The browser blocks the camera. Allow it in the address bar.",
      NotFoundError: "No camera was found.",
    };
    say(reasons[name] ?? `The camera cannot be used: ${message || name}.`, "error");
  }
}

function openCameraApp(done: (photo: File) => void): void {
  const input = document.createElement("input");
  Object.assign(input, { type: "file", accept: "image/*", capture: "environment" });
  input.addEventListener("change", () => input.files?.[0] && done(input.files[0]));
  input.click();
}

function CameraDialog(props: { stream: MediaStream; done: (photo: File) => void; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const video = useRef<HTMLVideoElement>(null);
  useLayoutEffect(() => {
    Object.assign(video.current!, { muted: true, srcObject: props.stream });
    dialog.current!.showModal();
  }, []);
  const shut = (): void => dialog.current!.close();
  const capture = async (): Promise<void> => {
    const { videoWidth: width, videoHeight: height } = video.current!;
    if (!width) return; // no frame yet
    const canvas = Object.assign(document.createElement("canvas"), { width, height });
    canvas.getContext("2d")!.drawImage(video.current!, 0, 0);
    shut();
    props.done(new File([await pngOf(canvas)], "photo.png", { type: "image/png" }));
  };
  return (
    <dialog class="camera" aria-label="Camera" ref={dialog} onClose={props.close}>
      <video ref={video} autoplay playsInline aria-label="Camera preview" />
      <div class="row">
        <button class="main" onClick={() => void capture()}>Capture</button>
        <button onClick={shut}>Cancel</button>
        <button class="quiet" onClick={() => (shut(), openCameraApp(props.done))}>Camera app …</button>
      </div>
    </dialog>
  );
}

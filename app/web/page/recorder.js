// Records with the microphone, which is asked for only when the button is pressed.
import { formatClock } from "./format.js";

const $ = (id) => document.getElementById(id);
const EXTENSIONS = { "audio/webm": "webm", "audio/ogg": "ogg", "audio/mp4": "m4a" };

/** Wire the button. onRecorded: gets the recording as a File. */
export function setUpRecorder(onRecorded) {
  const button = $("record");
  let recorder = null;

  if (!navigator.mediaDevices?.getUserMedia || !window.MediaRecorder) {
    button.disabled = true;
    return explain("This browser records only on pages that come by https, or from this computer.");
  }
  button.addEventListener("click", async () => {
    if (recorder) return recorder.stop();
    button.disabled = true; // until the reader has allowed or refused it
    try {
      recorder = start(await navigator.mediaDevices.getUserMedia({ audio: true }));
    } catch (error) {
      explain(
        error.name === "NotFoundError"
          ? "There is no microphone."
          : `The microphone cannot be used: ${error.message}. The browser's settings of this page may forbid it.`,
      );
    }
    button.disabled = false;
  });

  function start(stream) {
    const pieces = [];
    const recording = new MediaRecorder(stream);
    const startedAt = performance.now();
    const showTime = () => {
      button.textContent = `Stop recording (${formatClock((performance.now() - startedAt) / 1000)})`;
    };
    const timer = setInterval(showTime, 500);
    recording.addEventListener("dataavailable", (event) => pieces.push(event.data));
    recording.addEventListener("stop", () => {
      clearInterval(timer);
      for (const track of stream.getTracks()) track.stop(); // the browser shows that nobody listens any more
      recorder = null;
      button.textContent = "Record";
      button.classList.remove("recording");
      const type = recording.mimeType.split(";")[0];
      onRecorded(new File(pieces, `recording.${EXTENSIONS[type] ?? "audio"}`, { type }));
    });
    recording.start(1000); // a piece a second, so that little is lost if the browser ends it
    button.classList.add("recording");
    showTime();
    explain("");
    return recording;
  }
}

function explain(text) {
  $("record-note").textContent = text;
  $("record-note").hidden = !text;
}

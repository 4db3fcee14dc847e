// The recording that was chosen: its sound and its picture.
import { describeSpeech } from "./format.js";
import { decodePeaks, isShortEnough } from "./peaks.js";
import { Waveform } from "./waveform.js";

const $ = (id) => document.getElementById(id);

/** Plays the recording and draws it. It knows one recording at a time, or none. */
export class Player {
  #audio = $("player");
  #waveform = new Waveform($("waveform"), (second) => this.#seek(second));
  #file = null;
  #endsAt = Infinity;
  #isPlayable = false;

  constructor() {
    this.#audio.addEventListener("timeupdate", () => {
      this.#waveform.moveTo(this.#audio.currentTime);
      if (this.#audio.currentTime >= this.#endsAt) this.#audio.pause();
    });
    this.#audio.addEventListener("pause", () => (this.#endsAt = Infinity));
  }

  /** The recording, or null. */
  get file() {
    return this.#file;
  }

  /** Whether the browser can play the recording. */
  get isPlayable() {
    return this.#isPlayable;
  }

  /** Take another recording, or null for none, and draw it as soon as it is decoded. */
  async open(file) {
    URL.revokeObjectURL(this.#audio.src);
    this.#file = file;
    this.#isPlayable = false;
    this.#waveform.show(null, 0);
    this.mark([], [], 0);
    $("sound").hidden = !file;
    this.#audio.removeAttribute("src");
    if (!file) return;
    this.#explain("");
    const seconds = await this.#load(URL.createObjectURL(file));
    if (this.#file !== file) return;
    this.#audio.hidden = !this.#isPlayable;
    if (!this.#isPlayable) return this.#explain("This browser cannot play this recording. The service may still read it.");
    this.#waveform.show(null, Number.isFinite(seconds) ? seconds : 0);
    if (!isShortEnough(file.size, seconds)) {
      return this.#explain("This recording is too long to be drawn. The summary will bring bars where somebody speaks.");
    }
    try {
      const { peaks, seconds: decoded } = await decodePeaks(file);
      if (this.#file === file) this.#waveform.show(peaks, decoded);
    } catch {
      if (this.#file === file) this.#explain("This browser cannot draw this recording.");
    }
  }

  /** Mark the windows of an answer, and where somebody speaks. */
  mark(windows, speech, seconds) {
    this.#waveform.mark(windows, speech, seconds);
    $("waveform").setAttribute("aria-label", `The recording over time. ${describeSpeech(speech)}`.trim());
  }

  /** Play one window of the recording, and highlight it. Returns whether it can be heard. */
  playWindow(window) {
    this.#waveform.choose([window.index]);
    if (!this.#isPlayable) return false;
    this.#audio.currentTime = window.start;
    this.#endsAt = window.end;
    this.#audio.play().catch(() => {}); // a newer choice has interrupted it
    return true;
  }

  /** Set the source and return the length in seconds; NaN if it cannot be played, Infinity if it is not known. */
  #load(url) {
    return new Promise((resolve) => {
      this.#audio.addEventListener(
        "loadedmetadata",
        () => {
          this.#isPlayable = true;
          resolve(this.#audio.duration);
        },
        { once: true },
      );
      this.#audio.addEventListener("error", () => resolve(NaN), { once: true });
      this.#audio.src = url;
    });
  }

  #seek(second) {
    if (!this.#isPlayable) return;
    this.#endsAt = Infinity;
    this.#audio.currentTime = second;
  }

  #explain(text) {
    $("waveform-note").textContent = text;
    $("waveform-note").hidden = !text;
  }
}

// The recording that the service keeps for further requests, as far as this page knows.
import { callService } from "./api.js";
import { formatMoment } from "./format.js";

const RECORDINGS = "v1/recordings";
// What the recognizer has heard depends on these, so another request with others sends the recording again.
const HEARD_WITH = ["vocabulary", "model"];

/** At most one recording, and the request that has kept it. */
export class KeptRecording {
  #id = "";
  #expiresAt = 0;
  #file = null;
  #request = "";

  /** The id by which requests name it; empty if none is kept, or not any more. */
  get id() {
    return this.#id && Date.now() / 1000 < this.#expiresAt ? this.#id : "";
  }

  /** Until when it is kept, in words. */
  get until() {
    return formatMoment(this.#expiresAt);
  }

  /** Remember what an answer says about its recording. file: it, or null. form: of the request, or null. */
  take(answer, file = null, form = null) {
    this.#id = answer.recording_id ?? "";
    this.#expiresAt = answer.expires_at ?? 0;
    [this.#file, this.#request] = [file, form ? describe(form) : ""];
  }

  /** Return the id, if a request with this file and these fields need not send the file again; else an empty text. */
  idFor(file, form) {
    return file === this.#file && describe(form) === this.#request ? this.id : "";
  }

  /** Forget it. The service deletes it by itself. */
  forget() {
    [this.#id, this.#file] = ["", null];
  }

  /** Have the service delete it. Throws what `callService` throws. */
  async delete() {
    await callService(`${RECORDINGS}/${encodeURIComponent(this.#id)}`, "DELETE");
    this.forget();
  }
}

function describe(form) {
  return JSON.stringify(HEARD_WITH.map((name) => form.get(name)));
}

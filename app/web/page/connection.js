// Notices that the service cannot be reached, says so, and tries again until it can.

const $ = (id) => document.getElementById(id);
const FIRST_WAIT_MS = 1000;
const LONGEST_WAIT_MS = 15_000;

/** Watches the connection. onBack: is called whenever the service can be reached again and its model is ready. */
export class Connection {
  #onBack;
  #timer = null;
  #wait = FIRST_WAIT_MS;

  constructor(onBack) {
    this.#onBack = onBack;
    addEventListener("offline", () => this.reportLost());
    addEventListener("online", () => this.#isLost && this.#tryNow());
  }

  get #isLost() {
    return this.#timer !== null;
  }

  /** Say that the service cannot be reached, and begin to try again. */
  reportLost() {
    if (this.#isLost) return;
    this.#wait = FIRST_WAIT_MS;
    this.#show(navigator.onLine ? "The service cannot be reached. Trying again…" : "You are offline.");
    this.#schedule();
  }

  #schedule() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tryNow(), this.#wait);
    this.#wait = Math.min(2 * this.#wait, LONGEST_WAIT_MS);
  }

  async #tryNow() {
    try {
      const answer = await fetch("readyz", { cache: "no-store" });
      if (answer.ok) {
        clearTimeout(this.#timer);
        this.#timer = null;
        this.#show("");
        return this.#onBack();
      }
      this.#show("The service is there, but its model is not ready yet. Trying again…");
    } catch {
      this.#show(navigator.onLine ? "The service cannot be reached. Trying again…" : "You are offline.");
    }
    this.#schedule();
  }

  #show(text) {
    if ($("connection").textContent !== text) $("connection").textContent = text;
    $("connection").hidden = !text;
  }
}

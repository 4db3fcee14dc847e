// The jobs of this key, which the service keeps; without a key, those that this tab has sent.
import { JOBS, callService } from "./api.js";
import { ServiceError } from "./errors.js";
import { formatBytes, formatMoment } from "./format.js";
import { apiKey, forgetJob, sentJobs } from "./session.js";
import { describeStage } from "./stages.js";

const $ = (id) => document.getElementById(id);
const POLL_MS = 2000;
const PAGE = 20;
const STATES = {
  queued: "waiting for its turn",
  running: "being worked on",
  succeeded: "done",
  failed: "failed",
  cancelled: "cancelled",
};
const isOpen = (job) => job.state === "queued" || job.state === "running";

/** The list of jobs. onOpen: gets a job that has its summary, and the recording's name. onError: gets what fails. */
export class JobList {
  #rows = new Map(); // id -> {job, item, text, buttons}
  #timer = null;
  #after = "";
  #onOpen;
  #onError;

  constructor(onOpen, onError) {
    [this.#onOpen, this.#onError] = [onOpen, onError];
    $("older").addEventListener("click", () => this.#run(() => this.#load(this.#after)));
    document.addEventListener("visibilitychange", () => document.hidden || this.#poll());
  }

  /** Forget what is shown and read it again. Throws what `callService` throws. */
  async refresh() {
    this.#rows.clear();
    $("jobs").replaceChildren();
    await this.#load();
  }

  /** Show a job that was just sent. */
  add(job) {
    this.#show(job, true);
    this.#describe();
    this.#schedule();
  }

  async #load(after = "") {
    if (apiKey()) {
      const page = await callService(`${JOBS}?limit=${PAGE}${after && `&after=${encodeURIComponent(after)}`}`);
      for (const job of page.data) this.#show(job);
      this.#after = page.last_id;
      $("older").hidden = !page.has_more;
    } else {
      $("older").hidden = true;
      for (const { id } of sentJobs()) await this.#loadOne(id);
    }
    this.#describe();
    this.#schedule();
  }

  async #loadOne(id) {
    try {
      this.#show(await callService(`${JOBS}/${encodeURIComponent(id)}`));
    } catch (error) {
      if (!(error instanceof ServiceError) || error.status !== 404) throw error;
      this.#remove(id);
    }
  }

  #describe() {
    const owner = apiKey() ? "of this key" : "that were sent from this tab";
    $("jobs-note").textContent = this.#rows.size ? `The service keeps the jobs ${owner}.` : `There are no jobs ${owner}.`;
  }

  #schedule() {
    clearTimeout(this.#timer);
    if ([...this.#rows.values()].some((row) => isOpen(row.job))) this.#timer = setTimeout(() => this.#poll(), POLL_MS);
  }

  async #poll() {
    if (document.hidden) return; // the list goes on when the page is seen again
    await this.#run(async () => {
      const open = [...this.#rows.values()].filter((row) => isOpen(row.job));
      for (const row of open) await this.#loadOne(row.job.id);
    });
    this.#schedule();
  }

  #show(job, isNew = false) {
    const row = this.#rows.get(job.id) ?? this.#makeRow(job, isNew);
    const hasEnded = isOpen(row.job) && !isOpen(job);
    const name = sentJobs().find((sent) => sent.id === job.id)?.name ?? "Recording";
    row.text.textContent = `${name}, ${formatBytes(job.audio_bytes)}, ${formatMoment(job.created)}: ${describeJob(job)}`;
    if (row.job.state !== job.state || !row.buttons.childElementCount) this.#showButtons(row, job, name);
    row.job = job;
    if (hasEnded) $("status").textContent = `The job of ${name} is ${STATES[job.state]}.`;
  }

  #makeRow(job, isNew) {
    const row = { job, item: document.createElement("li"), text: document.createElement("span") };
    row.buttons = document.createElement("div");
    row.buttons.className = "row";
    row.item.append(row.text, row.buttons);
    if (isNew) $("jobs").prepend(row.item);
    else $("jobs").append(row.item);
    this.#rows.set(job.id, row);
    return row;
  }

  #showButtons(row, job, name) {
    const hadFocus = row.buttons.contains(document.activeElement);
    const path = `${JOBS}/${encodeURIComponent(job.id)}`;
    const buttons = [];
    const add = (text, act) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.ariaLabel = `${text}: ${name}, ${formatMoment(job.created)}`;
      button.addEventListener("click", () => this.#run(act));
      buttons.push(button);
    };
    if (job.state === "succeeded") add("Open", async () => this.#onOpen(await callService(path), name));
    if (isOpen(job)) add("Cancel", async () => this.#show(await callService(`${path}/cancel`, "POST")));
    else {
      add("Delete", async () => {
        await callService(path, "DELETE");
        this.#remove(job.id);
        $("jobs-heading").tabIndex = -1;
        $("jobs-heading").focus();
      });
    }
    row.buttons.replaceChildren(...buttons);
    if (hadFocus) buttons[0].focus();
  }

  #remove(id) {
    this.#rows.get(id)?.item.remove();
    this.#rows.delete(id);
    forgetJob(id);
    this.#describe();
  }

  async #run(act) {
    try {
      await act();
    } catch (error) {
      this.#onError(error);
    }
  }
}

function describeJob(job) {
  if (job.state === "failed") return `failed. ${job.error?.message ?? ""}`;
  const progress = job.progress && job.state === "running" ? ` ${describeStage(job.progress).text}` : "";
  return `${STATES[job.state] ?? job.state}.${progress}`;
}

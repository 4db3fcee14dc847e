// Wires the page: the recording, the wishes, the request, the key.
import { sendJob, streamSummary } from "./api.js";
import { Connection } from "./connection.js";
import { ConnectionLost, ServiceError, describeError } from "./errors.js";
import { formatBytes, formatPercent } from "./format.js";
import { JobList } from "./jobs.js";
import { refreshModels, setUpModels } from "./models.js";
import { Player } from "./player.js";
import { setUpRecorder } from "./recorder.js";
import { apiKey, keepApiKey, rememberJob } from "./session.js";
import { describeStage } from "./stages.js";
import { SummaryView } from "./summary-view.js";

const $ = (id) => document.getElementById(id);
const FIELDS = ["style", "length", "language", "focus", "instructions", "model"];

const player = new Player();
const view = new SummaryView(player);
const jobs = new JobList(openJob, showError);
const connection = new Connection(refresh);
const filesOfJobs = new Map(); // id -> File, so that a job's sources can be heard as long as the page is open
let cancelling = null; // the AbortController of the request under way
let idempotencyKey = "";

function chooseFile(file) {
  if (!file || cancelling) return;
  idempotencyKey = "";
  showError(null);
  view.clear();
  $("file-name").textContent = `${file.name} (${formatBytes(file.size)})`;
  $("file-name").hidden = false;
  $("status").textContent = "";
  player.open(file);
}

/** Return the request's form, or null if there is no recording yet. */
function makeForm() {
  if (!player.file) {
    showError(new ServiceError({ message: "Choose or record a recording first." }, 0));
    $("file").focus();
    return null;
  }
  const form = new FormData();
  for (const name of FIELDS) {
    const value = $(name).value.trim();
    if (value) form.set(name, value);
  }
  form.set("file", player.file, player.file.name);
  return form;
}

/** Run a request with its progress on the page. work: gets the form, and what `api.js` reports to. */
async function runRequest(work) {
  const form = makeForm();
  if (!form || cancelling) return;
  showError(null);
  cancelling = new AbortController();
  setBusy(true);
  try {
    await work(form, { onUpload: showUpload, signal: cancelling.signal });
  } catch (error) {
    if (error.name === "AbortError") {
      view.clear();
      $("status").textContent = "Cancelled.";
    } else {
      $("status").textContent = "";
      showError(error);
    }
  } finally {
    cancelling = null;
    setBusy(false);
  }
}

function summarize() {
  return runRequest(async (form, options) => {
    view.clear(true);
    $("result").setAttribute("aria-busy", "true");
    const onEvent = (event) => {
      if (event.object === "audio.summary.delta") view.append(event.delta);
      else showStage(describeStage(event));
    };
    const answer = await streamSummary(form, { ...options, onEvent });
    view.show(answer, player.file.name);
    $("status").textContent = "Done.";
  });
}

function queueJob() {
  return runRequest(async (form, options) => {
    // The same until it has worked, so that a second try after a lost connection makes no second job.
    idempotencyKey ||= makeIdempotencyKey();
    const job = await sendJob(form, { ...options, idempotencyKey });
    idempotencyKey = "";
    rememberJob(job.id, player.file.name);
    filesOfJobs.set(job.id, player.file);
    jobs.add(job);
    $("status").textContent = "The job was sent. It is in the list of jobs below.";
  });
}

function makeIdempotencyKey() {
  // crypto.randomUUID is missing on pages that come by http from another computer.
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function openJob(job, name) {
  const file = filesOfJobs.get(job.id) ?? null;
  if (file !== player.file) player.open(file);
  $("file-name").textContent = file?.name ?? "";
  $("file-name").hidden = !file;
  view.clear();
  view.show(job.summary, name);
  $("result-heading").focus();
}

function setBusy(isBusy) {
  for (const id of ["summarize", "queue", "file", "record"]) $(id).disabled = isBusy;
  $("cancel").hidden = !isBusy;
  $("progress").hidden = !isBusy;
  if (isBusy) $("cancel").focus();
  else {
    $("result").removeAttribute("aria-busy");
    $("summarize").focus();
  }
}

function showUpload(share) {
  showStage({ text: share < 1 ? `Sending the recording: ${formatPercent(share)}.` : "The recording was sent.", share });
}

function showStage({ text, share }) {
  $("status").textContent = text;
  if (share === null) $("progress").removeAttribute("value"); // nobody can say how much is done
  else $("progress").value = share;
}

function showError(error) {
  $("error").textContent = error ? describeError(error) : "";
  $("error").hidden = !error;
  if (error instanceof ConnectionLost || error?.code === "not_ready") connection.reportLost();
  if (error?.status === 401) $("key").focus();
}

/** Read models and jobs again. */
async function refresh() {
  try {
    await refreshModels();
    await jobs.refresh();
  } catch (error) {
    if (error instanceof ConnectionLost) connection.reportLost();
    else showError(error);
  }
}

function showKey() {
  const hasKey = apiKey() !== "";
  $("forget").hidden = !hasKey;
  $("key-note").textContent = hasKey
    ? "A key is in use. This tab keeps it until it is closed."
    : "This tab keeps it until it is closed.";
}

async function changeKey(key) {
  keepApiKey(key);
  $("key").value = "";
  showKey();
  showError(null);
  await refresh();
}

$("file").addEventListener("change", () => chooseFile($("file").files[0]));
$("wishes").addEventListener("submit", (event) => {
  event.preventDefault();
  summarize();
});
$("wishes").addEventListener("input", () => (idempotencyKey = ""));
$("queue").addEventListener("click", queueJob);
$("cancel").addEventListener("click", () => cancelling?.abort());
$("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  changeKey($("key").value.trim());
});
$("forget").addEventListener("click", () => changeKey(""));
const holdsFiles = (event) => event.dataTransfer?.types.includes("Files"); // and is no text that is moved
for (const kind of ["dragenter", "dragover"]) {
  addEventListener(kind, (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault(); // else the browser opens the file
    $("drop").classList.add("over");
  });
}
addEventListener("dragleave", (event) => event.relatedTarget || $("drop").classList.remove("over"));
addEventListener("drop", (event) => {
  if (!holdsFiles(event)) return;
  event.preventDefault();
  $("drop").classList.remove("over");
  chooseFile(event.dataTransfer.files[0]);
});
setUpRecorder(chooseFile);
setUpModels();
showKey();
refresh();

// Wires the page: the recording, the wishes, the request, the key.
import { appendToAnswer } from "./answers-view.js";
import { sendJob, streamSummary } from "./api.js";
import { Connection } from "./connection.js";
import { ConnectionLost, ServiceError, describeError } from "./errors.js";
import { FollowUps } from "./follow-ups.js";
import { formatBytes, formatPercent } from "./format.js";
import { JobList } from "./jobs.js";
import { KeptRecording } from "./kept-recording.js";
import { refreshModels, setUpModels } from "./models.js";
import { Player } from "./player.js";
import { setUpRecorder } from "./recorder.js";
import { apiKey, keepApiKey, rememberJob } from "./session.js";
import { describeStage } from "./stages.js";
import { SummaryView } from "./summary-view.js";
import { refreshTemplates, setUpTemplates } from "./templates.js";
import { refreshVocabulary, setUpVocabulary } from "./vocabulary.js";
import { askedQuestions, readWishes, setUpWishes, showChoices, stopOfferingToKeep, wantsKeeping } from "./wishes.js";

const $ = (id) => document.getElementById(id);

const player = new Player();
const view = new SummaryView(player);
const kept = new KeptRecording();
const followUps = new FollowUps(kept, view, runRequest, showError);
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

/** Return whether there is a recording to send; otherwise ask for one. */
function hasRecording() {
  if (player.file) return true;
  showError(new ServiceError({ message: "Choose or record a recording first." }, 0));
  $("file").focus();
  return false;
}

/** Return a form with the wishes and the file. */
function formWithFile() {
  const form = readWishes();
  if (wantsKeeping()) form.set("keep", "true");
  form.set("file", player.file, player.file.name);
  return form;
}

/**
 * Run a request with its progress on the page. work: gets what `api.js` reports to. focused: the element that has the
 * focus afterwards.
 */
async function runRequest(work, focused = $("summarize")) {
  if (cancelling) return;
  showError(null);
  cancelling = new AbortController();
  setBusy(true, focused);
  try {
    await work({ onUpload: showUpload, signal: cancelling.signal });
  } catch (error) {
    $("status").textContent = error.name === "AbortError" ? "Cancelled." : "";
    if (error.name !== "AbortError") showError(error);
  } finally {
    cancelling = null;
    setBusy(false, focused);
  }
}

function summarize() {
  if (!hasRecording()) return null;
  return runRequest(async (options) => {
    view.clear(true);
    $("result").setAttribute("aria-busy", "true");
    try {
      const { answer, form } = await streamAnswer(options);
      view.show(answer, player.file.name);
      kept.take(answer, player.file, form);
      followUps.offer();
      $("status").textContent = "Done.";
    } catch (error) {
      if (error.name === "AbortError") view.clear();
      else view.breakOff();
      throw error;
    }
  });
}

/** Ask for a summary, without sending the recording if the service still has it. Return the answer and the form. */
async function streamAnswer(options) {
  const questions = askedQuestions();
  const onEvent = (event) => {
    if (event.object === "audio.summary.delta") view.append(event.delta);
    else if (event.object === "audio.summary.answer.delta") appendToAnswer(event.index, questions[event.index], event.delta);
    else if (event.object === "audio.summary.progress") showStage(describeStage(event));
  };
  const form = readWishes();
  const id = kept.idFor(player.file, form);
  if (id) {
    form.set("recording_id", id);
    try {
      return { answer: await streamSummary(form, { ...options, onEvent }), form };
    } catch (error) {
      if (error.code !== "recording_not_found") throw error;
      kept.forget();
    }
  }
  const whole = formWithFile();
  return { answer: await streamSummary(whole, { ...options, onEvent }), form: whole };
}

function queueJob() {
  if (!hasRecording()) return null;
  return runRequest(async (options) => {
    // The same until it has worked, so that a second try after a lost connection makes no second job.
    idempotencyKey ||= makeIdempotencyKey();
    const job = await sendJob(formWithFile(), { ...options, idempotencyKey });
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
  kept.take(job.summary);
  followUps.offer();
  $("result-heading").focus();
}

function setBusy(isBusy, focused) {
  for (const id of ["summarize", "queue", "file", "record", "ask", "delete-recording"]) $(id).disabled = isBusy;
  $("cancel").hidden = !isBusy;
  $("progress").hidden = !isBusy;
  if (isBusy) $("cancel").focus();
  else {
    $("result").removeAttribute("aria-busy");
    if (document.activeElement === $("cancel") || document.activeElement === document.body) focused.focus();
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
  if (error?.code === "recordings_disabled") stopOfferingToKeep();
  if (error?.status === 401) $("key").focus();
}

/** Read models and jobs again. */
async function refresh() {
  try {
    await refreshModels();
    showChoices();
    await refreshTemplates();
    await refreshVocabulary();
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
  kept.forget(); // it belongs to the other key
  $("ask-form").hidden = true;
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
setUpTemplates();
setUpVocabulary(showError);
setUpWishes();
showKey();
refresh();

// Calls the service. Addresses are relative, so that the page also works behind a path prefix.
import { ConnectionLost, ServiceError, readError } from "./errors.js";
import { EventParser } from "./event-parser.js";
import { apiKey } from "./session.js";

const SUMMARIES = "v1/audio/summaries";
export const JOBS = `${SUMMARIES}/jobs`;

function authorization() {
  const key = apiKey();
  return key ? { authorization: `Bearer ${key}` } : {};
}

/** Return the JSON of an answer; null if it has no body. Throws ServiceError or ConnectionLost. */
export async function callService(path, method = "GET") {
  let answer, text;
  try {
    answer = await fetch(path, { method, headers: authorization(), cache: "no-store", credentials: "same-origin" });
    text = await answer.text();
  } catch {
    throw new ConnectionLost();
  }
  if (!answer.ok) throw readError(text, answer.status, answer.headers.get("retry-after"));
  return text ? JSON.parse(text) : null;
}

/**
 * Send a form with a recording and return the JSON of the answer.
 *
 * It is an XMLHttpRequest, because fetch does not tell how much of an upload has been sent. onUpload: gets the share
 * that was sent. signal: cancels. Throws ServiceError, ConnectionLost or, if cancelled, an AbortError.
 */
function send(path, form, { onUpload, signal, headers = {}, onText = () => {} }) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", path);
    for (const [name, value] of Object.entries({ ...authorization(), ...headers })) request.setRequestHeader(name, value);
    request.upload.addEventListener("progress", (event) => {
      if (event.lengthComputable) onUpload(event.loaded / event.total);
    });
    const isGood = () => request.status >= 200 && request.status < 300;
    request.addEventListener("progress", () => isGood() && onText(request.responseText));
    request.addEventListener("load", () => {
      if (isGood()) resolve(request.responseText);
      else reject(readError(request.responseText, request.status, request.getResponseHeader("retry-after")));
    });
    request.addEventListener("error", () => reject(new ConnectionLost()));
    request.addEventListener("abort", () => reject(new DOMException("cancelled", "AbortError")));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

/** Ask for a summary and return the last event, the whole answer. onEvent: gets every event as it comes. */
export async function streamSummary(form, { onUpload, onEvent, signal }) {
  const parser = new EventParser();
  let read = 0;
  let done = null;
  let failure = null;
  const readText = (text) => {
    const events = parser.push(text.slice(read));
    read = text.length;
    for (const data of events) {
      if (data === "[DONE]") continue;
      const event = JSON.parse(data);
      if (event.error) failure = new ServiceError(event.error, 0);
      else if (event.object === "audio.summary.done") done = event;
      else onEvent(event);
    }
  };
  form.set("stream", "true");
  readText(await send(SUMMARIES, form, { onUpload, signal, onText: readText }));
  if (failure) throw failure;
  if (!done) throw new ConnectionLost();
  return done;
}

/** Queue a recording and return the job. idempotencyKey: a repeat with the same one makes no second job. */
export async function sendJob(form, { onUpload, signal, idempotencyKey }) {
  const headers = { "idempotency-key": idempotencyKey };
  return JSON.parse(await send(JOBS, form, { onUpload, signal, headers }));
}

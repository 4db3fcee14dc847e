// What went wrong, in plain words, with the service's own message. Knows nothing about the page.

const PLAIN_WORDS = {
  missing_api_key: "This service needs an API key. Enter yours under “API key”.",
  invalid_api_key: "The service does not accept this API key.",
  scope_missing: "This API key may not do this.",
  unsupported_audio: "The service cannot read this file as a recording.",
  undecodable_audio: "This recording is damaged and cannot be read.",
  no_audio_track: "There is no sound in this file.",
  upload_too_large: "This recording is too large for the service.",
  queue_full: "The service is full at the moment.",
  audio_queue_full: "The service is full at the moment.",
  not_ready: "The model is still being loaded.",
  engine_dead: "The model has stopped. Whoever runs the service must restart it.",
  quota_exceeded: "This API key has used up what it may use.",
  too_many_requests: "Too many requests are under way.",
  job_not_found: "This job is gone.",
  model_not_found: "The service does not have this model.",
  recording_not_found: "The service does not keep this recording any more. Summarize it again.",
  recordings_disabled: "This service keeps no recordings, so the choice is taken away. Send the recording again.",
  template_not_found: "This template is gone.",
  deadline_exceeded: "This took too long. Send the recording as a job instead.",
};

/** An error that the service answered with. status: of HTTP; 0 if it came in a stream. retryAfter: seconds, or null. */
export class ServiceError extends Error {
  constructor(error, status, retryAfter = null) {
    super(error?.message ?? `The service answered with the status ${status}.`);
    this.code = error?.code ?? "";
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** The service could not be reached, or the connection broke off. */
export class ConnectionLost extends Error {}

/** Return what a reader should know of an error. */
export function describeError(error) {
  if (error instanceof ConnectionLost) {
    return "The connection to the service was lost before the answer was complete. Try again.";
  }
  if (!(error instanceof ServiceError)) return `The page failed: ${error?.message ?? error}`;
  const plain = PLAIN_WORDS[error.code];
  const wait = error.retryAfter ? ` Try again in ${error.retryAfter} s.` : "";
  return `${plain ? `${plain} The service says: ` : ""}${error.message}${wait}`;
}

/** Return a failed answer as a ServiceError. text: its body. retryAfter: its header `Retry-After`, or null. */
export function readError(text, status, retryAfter) {
  let body = null;
  try {
    body = JSON.parse(text);
  } catch {
    // A proxy in front of the service answers in HTML.
  }
  const seconds = Number.parseInt(retryAfter ?? "", 10);
  return new ServiceError(body?.error, status, Number.isNaN(seconds) ? null : seconds);
}

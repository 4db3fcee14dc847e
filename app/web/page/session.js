// What this tab remembers, and forgets when it is closed: the API key, and the ids and names of jobs that were sent from
// here. It is in sessionStorage and never in a URL, a cookie or localStorage.

const KEY = "speechsum.key";
const JOBS = "speechsum.jobs";
const MOST_JOBS = 100;

/** Return the API key, or an empty text. */
export function apiKey() {
  return sessionStorage.getItem(KEY) ?? "";
}

/** Keep the API key; an empty one is forgotten. Jobs that were sent with another key are forgotten too. */
export function keepApiKey(key) {
  if (key === apiKey()) return;
  sessionStorage.removeItem(JOBS);
  if (key) sessionStorage.setItem(KEY, key);
  else sessionStorage.removeItem(KEY);
}

/** Return the jobs that this tab has sent, newest first, as `{id, name}`. */
export function sentJobs() {
  try {
    return JSON.parse(sessionStorage.getItem(JOBS) ?? "[]");
  } catch {
    return [];
  }
}

/** Remember a job. */
export function rememberJob(id, name) {
  sessionStorage.setItem(JOBS, JSON.stringify([{ id, name }, ...sentJobs()].slice(0, MOST_JOBS)));
}

/** Forget a job. */
export function forgetJob(id) {
  sessionStorage.setItem(JOBS, JSON.stringify(sentJobs().filter((job) => job.id !== id)));
}

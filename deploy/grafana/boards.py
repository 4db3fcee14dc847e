"""The panels of the dashboards: what each shows, its unit and its queries in Prometheus' language.

In a query, `{S}` stands for the selection of the dashboard's jobs and instances, and `[R]` for Grafana's interval.
"""

from dataclasses import dataclass

SELECTION = 'job=~"$job", instance=~"$instance"'
Steps = tuple[str, tuple[tuple[float, str], ...]]  # a stat's color, and those from certain values on
PLAIN: Steps = ("blue", ())
OUTCOMES = ("ok", "no_speech", "not_understood", "refused", "failed", "aborted")
ENDS = ("succeeded", "failed", "cancelled")
SERVED = '{S, outcome=~"ok|no_speech|not_understood|failed"}'


@dataclass(frozen=True)
class Panel:
    """One panel. queries: pairs of a query and its legend. steps: the colors of a stat. colored: series whose color is
    fixed.
    """

    title: str
    description: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    kind: str = "timeseries"
    stacked: bool = False
    steps: Steps = PLAIN
    colored: tuple[str, ...] = ()


@dataclass(frozen=True)
class Board:
    """One dashboard. rows: titles, each with its lines of panels of the same width."""

    uid: str
    title: str
    description: str
    rows: tuple[tuple[str, tuple[tuple[Panel, ...], ...]], ...]


def graph(
    title: str, description: str, unit: str, *queries: str | tuple[str, str], stacked: bool = False,
    colored: tuple[str, ...] = (),
) -> Panel:  # fmt: skip
    """Return a panel with curves. A query without a legend gets the panel's title."""
    pairs = [query if isinstance(query, tuple) else (query, title) for query in queries]
    filled = tuple((_fill(query), legend) for query, legend in pairs)
    return Panel(title, description, unit, filled, stacked=stacked, colored=colored)


def stat(
    title: str, description: str, unit: str, query: str, legend: str = "", steps: Steps = PLAIN
) -> Panel:  # fmt: skip
    """Return a panel with one figure."""
    return Panel(title, description, unit, ((_fill(query), legend),), kind="stat", steps=steps)


def quantiles(histogram: str, *shares: float) -> tuple[tuple[str, str], ...]:
    """Return a query for each quantile of a histogram, with legends such as `p95`."""
    return tuple((quantile(histogram, share), f"p{100 * share:g}") for share in shares)


def quantile(histogram: str, share: float, by: str = "") -> str:
    """Return the query for one quantile, by a label if one is given."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share:g}, sum by ({labels}) (rate({histogram}_bucket{{S}}[R])))"


def _fill(query: str) -> str:
    return query.replace("{S", "{" + SELECTION).replace("[R]", "[$__rate_interval]")


def _stages(share: float) -> Panel:
    query = quantile("speechsum_stage_duration_seconds", share, "stage")
    name = f"p{100 * share:g}"
    return graph(
        f"Latency by stage, {name}",
        "Time that requests spend in each stage. queue: the engine is full. engine_prefill: long recordings.",
        "s", (query, "{{stage}}"),
    )  # fmt: skip


FIRST, WHOLE = "speechsum_time_to_first_token_seconds", "speechsum_request_duration_seconds"
USERS = Board(
    "speechsum", "speechsum: users", "What users experience: what they ask, how long it takes, what fails, and why.",
    (
        ("At a glance", ((
            stat("Up", "Instances that answer Prometheus, of all instances that it scrapes.", "percentunit",
                 "avg(up{S})", steps=("red", ((1, "green"),))),
            stat("Model", "The models that are loaded.", "none",
                 "max by (name, version, kind) (speechsum_model_info{S})", "{{name}}@{{version}} ({{kind}})"),
            stat("Requests", "Requests for a summary, a second.", "reqps", "sum(rate(speechsum_requests_total{S}[R]))"),
            stat("Failing", "Requests that fail by the service's fault, of all that it could have served.",
                 "percentunit",
                 'sum(rate(speechsum_requests_total{S, outcome="failed"}[R])) '
                 f"/ sum(rate(speechsum_requests_total{SERVED}[R]))",
                 steps=("green", ((0.005, "yellow"), (0.05, "red")))),
            stat("First token, p95", "Nineteen of twenty requests get their first text within this time.", "s",
                 quantile(FIRST, 0.95), steps=("green", ((10, "yellow"), (30, "red")))),
            stat("In progress", "Requests between their first byte and their last.", "none",
                 "sum(speechsum_requests_in_progress{S})"),
        ),)),
        ("Promises", ((
            graph("Failing, by window", "Share of the requests that fail. The alert SpeechsumFailing follows it; the "
                  "promise is 0.5 %.", "percentunit",
                  *((f'speechsum:request_failures:ratio_rate{window}{{job=~"$job"}}', window)
                    for window in ("5m", "1h", "6h", "3d"))),
            graph("Late first tokens, by window", "Share of the summaries that begin after more than ten seconds. The "
                  "alert SpeechsumSlowFirstToken follows it; the promise is 5 %.", "percentunit",
                  *((f'speechsum:slow_first_tokens:ratio_rate{window}{{job=~"$job"}}', window)
                    for window in ("5m", "1h", "6h", "3d"))),
        ),)),
        ("Requests", (
            (
                graph("Requests by outcome", "How requests end. refused: the caller's error (4xx). failed: the "
                      "service's error (5xx). aborted: the caller left.", "reqps",
                      ("sum by (outcome) (rate(speechsum_requests_total{S}[R]))", "{{outcome}}"),
                      stacked=True, colored=OUTCOMES),
                graph("Errors by code, last 5 minutes", "Errors by the code in the answer, which docs/api.md "
                      "explains.", "short", ("sum by (code) (speechsum:errors:increase5m{S})", "{{code}}"),
                      stacked=True),
                graph("Abandoned requests", "Requests whose caller left before the answer was complete.", "reqps",
                      ("sum(rate(speechsum_aborts_total{S}[R]))", "aborted")),
            ),
            (
                graph("Time to first token", "From a request's first byte to its first text.", "s",
                      *quantiles(FIRST, 0.5, 0.95, 0.99)),
                graph("Whole request", "From a request's first byte to its answer's last.", "s",
                      *quantiles(WHOLE, 0.5, 0.95, 0.99)),
            ),
        )),
        ("Versions side by side", ((
            graph("Requests by model", "Requests of each version, a second: a canary gets as many as its weight says.",
                  "reqps", ('sum by (model) (rate(speechsum_requests_total{S, model!=""}[R]))', "{{model}}")),
            graph("Failing by model", "Share of each version's requests that fail by the service's fault.",
                  "percentunit",
                  ('sum by (model) (rate(speechsum_requests_total{S, model!="", outcome="failed"}[R])) '
                   "/ sum by (model) "
                   '(rate(speechsum_requests_total{S, model!="", outcome=~"ok|no_speech|not_understood|failed"}[R]))',
                   "{{model}}")),
            graph("First token by model, p95", "Nineteen of twenty requests of a version get their first text within "
                  "this time.", "s", (quantile(FIRST, 0.95, "model"), "{{model}}")),
            graph("Whole request by model, p95", "Nineteen of twenty requests of a version are answered within this "
                  "time.", "s",
                  ('histogram_quantile(0.95, sum by (le, model) '
                   '(rate(speechsum_request_duration_seconds_bucket{S, model!=""}[R])))', "{{model}}")),
        ),)),
        ("Where the time goes", ((_stages(0.5), _stages(0.95), _stages(0.99)),)),
        ("Audio", (
            (
                graph("Audio hours per hour", "Hours of audio that are received in an hour.", "none",
                      ("sum(rate(speechsum_audio_seconds_total{S}[R]))", "hours per hour")),
                graph("RTFx", "Seconds of audio per second of work on a request (real-time factor).", "none",
                      *quantiles("speechsum_rtfx", 0.5, 0.05)),
                graph("Length of recordings", "How long the recordings are that are received.", "s",
                      *quantiles("speechsum_audio_duration_seconds", 0.5, 0.95)),
                graph("Recordings without speech", "Share of the recordings in which nobody speaks.", "percentunit",
                      ("sum(rate(speechsum_no_speech_total{S}[R])) "
                       "/ sum(rate(speechsum_audio_duration_seconds_count{S}[R]))", "no speech")),
            ),
            (
                graph("Kept recordings", "Recordings that are kept for further requests.", "none",
                      ("sum(speechsum_recordings{S})", "kept")),
                graph("Bytes of kept recordings", "What they take, in memory and on the disk.", "bytes",
                      ("sum(speechsum_recordings_bytes{S})", "kept")),
                graph("Use of kept recordings", "Requests that read one again, and why others are gone.", "ops",
                      ("sum(rate(speechsum_recordings_reused_total{S}[R]))", "read again"),
                      ("sum by (reason) (rate(speechsum_recordings_dropped_total{S}[R]))", "{{reason}}")),
            ),
        )),
    ),
)  # fmt: skip

ENGINE = Board(
    "speechsum-engine", "speechsum: engine", "The models, the load on them, vLLM's engine, and the processes.",
    (
        ("Models", ((
            graph("Requests inside a model", "Requests and jobs that each model is working on.", "short",
                  ("sum by (model) (speechsum_model_requests_in_progress{S})", "{{model}}"), stacked=True),
            graph("Models by state", "How many instances have each model in each state.", "short",
                  ("sum by (model, state) (speechsum_model_state{S}) > 0", "{{model}} {{state}}")),
            graph("Wait for the engine, p95", "Nineteen of twenty answers get a place in the engine within this time.",
                  "s", (quantile("speechsum_queue_duration_seconds", 0.95, "model"), "{{model}}")),
        ),)),
        ("Load", (
            (
                graph("In progress and waiting", "Requests inside the service, and those that wait for the engine.",
                      "none", ("sum(speechsum_requests_in_progress{S})", "in progress"),
                      ("sum(speechsum_queue_waiting{S})", "waiting for the engine")),
                graph("Audio inside", "Seconds of audio inside the service, and at each vLLM server.", "s",
                      ("sum(speechsum_queued_audio_seconds{S})", "service"),
                      ("sum by (server) (speechsum_remote_queued_audio_seconds{S})", "{{server}}")),
                graph("vLLM servers up", "1 while a vLLM server gets requests.", "none",
                      ("min by (server) (speechsum_remote_up{S})", "{{server}}")),
                graph("Tokens per second", "Tokens that are written, and those of prompts with audio.", "short",
                      ("sum(rate(speechsum_output_tokens_total{S}[R]))", "written"),
                      ("sum(rate(speechsum_prompt_tokens_total{S}[R]))", "read")),
            ),
        )),
        ("Engine (vLLM)", (
            (
                graph("Running and waiting in the engine", "Requests in vLLM's batches, and those that wait for one.",
                      "none", ("sum(vllm:num_requests_running{S})", "running"),
                      ("sum(vllm:num_requests_waiting{S})", "waiting")),
                graph("KV cache in use", "At 100 % requests are preempted.", "percentunit",
                      ("max by (instance) (vllm:kv_cache_usage_perc{S})", "{{instance}}")),
                graph("Prefix cache hit rate", "Share of the prompts' tokens that need not be computed.", "percentunit",
                      ("sum(rate(vllm:prefix_cache_hits_total{S}[R])) "
                       "/ sum(rate(vllm:prefix_cache_queries_total{S}[R]))", "hits")),
            ),
            (
                graph("Tokens per second in the engine", "Tokens that the engine generates and reads.", "short",
                      ("sum(rate(vllm:generation_tokens_total{S}[R]))", "generated"),
                      ("sum(rate(vllm:prompt_tokens_total{S}[R]))", "prompt")),
                graph("Time between tokens", "Pause between two tokens of an answer (inter-token latency).", "s",
                      *quantiles("vllm:inter_token_latency_seconds", 0.5, 0.95, 0.99)),
                graph("Preemptions", "Requests that lost their place in the KV cache and start again.", "ops",
                      ("sum(rate(vllm:num_preemptions_total{S}[R]))", "preemptions")),
            ),
        )),
        ("Process", (
            (
                graph("Memory", "Of the service's own process, not of vLLM's nor of the decoders.", "bytes",
                      ("process_resident_memory_bytes{S}", "{{instance}}")),
                graph("CPU", "Cores that the service's own process uses.", "none",
                      ("rate(process_cpu_seconds_total{S}[R])", "{{instance}}")),
                graph("Open files", "Files and connections that the service's process has open.", "none",
                      ("process_open_fds{S}", "{{instance}}")),
                graph("Free disk", "What can still be written, by what is kept there.", "bytes",
                      ("min by (instance, place) (speechsum_disk_free_bytes{S})", "{{instance}} {{place}}")),
            ),
        )),
    ),
)  # fmt: skip

JOBS = Board(
    "speechsum-jobs", "speechsum: jobs", "The queue of jobs, its age, its ends, and the webhooks that tell of them.",
    (
        ("At a glance", ((
            stat("Jobs that wait", "Jobs that no worker has taken.", "none", 'max(speechsum_jobs{S, state="queued"})'),
            stat("Oldest job that waits", "How long it has waited.", "s",
                 "max(speechsum_jobs_oldest_waiting_seconds{S})", steps=("green", ((300, "yellow"), (900, "red")))),
            stat("Jobs at work", "Jobs that workers have taken.", "none", 'max(speechsum_jobs{S, state="running"})'),
            stat("Refused jobs", "Jobs that were not queued, a second.", "reqps",
                 "sum(rate(speechsum_jobs_refused_total{S}[R]))"),
            stat("Database", "Whether every instance reaches the database.", "percentunit",
                 "avg(speechsum_database_up{S})", steps=("red", ((1, "green"),))),
            stat("Draining", "Instances that were told to stop and have not ended yet.", "none",
                 "sum(speechsum_draining{S})"),
        ),)),
        ("Jobs", (
            (
                graph("Jobs by state", "Jobs in the database. Those that have ended stay until their time is over.",
                      "none", ("max by (state) (speechsum_jobs{S})", "{{state}}"),
                      colored=(*ENDS, "queued", "running")),
                graph("Age of the oldest job", "How long the oldest job that waits has waited.", "s",
                      ("max(speechsum_jobs_oldest_waiting_seconds{S})", "oldest")),
                graph("Jobs that end", "How jobs end, a second.", "ops",
                      ("sum by (state) (rate(speechsum_jobs_ended_total{S}[R]))", "{{state}}"), stacked=True,
                      colored=ENDS),
            ),
            (
                graph("Wait for a worker", "From a job's arrival until a worker takes it.", "s",
                      *quantiles("speechsum_job_wait_duration_seconds", 0.5, 0.95)),
                graph("Whole job", "From a job's arrival to its end.", "s",
                      *quantiles("speechsum_job_duration_seconds", 0.5, 0.95)),
                graph("Refused jobs by code", "Why jobs are not queued. jobs_full: too many wait. too_many_jobs: too "
                      "many of one caller. disk_full: no space to keep the recording.", "ops",
                      ("sum by (code) (rate(speechsum_jobs_refused_total{S}[R]))", "{{code}}"), stacked=True),
            ),
        )),
        ("Webhooks", ((
            graph("Attempts by outcome", "again: it failed, and another attempt follows. dead: it was given up.", "ops",
                  ("sum by (outcome) (rate(speechsum_webhooks_total{S}[R]))", "{{outcome}}"), stacked=True,
                  colored=("delivered", "again", "dead")),
            graph("Webhooks that wait", "Webhooks that are neither delivered nor given up.", "none",
                  ("max(speechsum_webhooks_waiting{S})", "waiting")),
            graph("Age of the oldest webhook", "How long the oldest webhook that waits has waited.", "s",
                  ("max(speechsum_webhooks_oldest_waiting_seconds{S})", "oldest")),
            graph("Time of an attempt", "How long a receiver takes to answer.", "s",
                  *quantiles("speechsum_webhook_duration_seconds", 0.5, 0.95)),
        ),)),
    ),
)  # fmt: skip

BOARDS = (USERS, ENGINE, JOBS)

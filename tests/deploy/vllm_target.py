"""vLLM's side of `/metrics`, played back from a recorded scrape as if its engine kept working.

The recorded text is vllm_metrics.txt. With each scrape every counter and histogram grows, since a rate over a standing
counter shows nothing.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.parser import text_string_to_metric_families

RECORDED = Path(__file__).with_name("vllm_metrics.txt")


def families() -> set[str]:
    """Names of the samples recorded: `vllm:prompt_tokens_total`, `vllm:…_bucket`."""
    return {sample.name for family in text_string_to_metric_families(RECORDED.read_text()) for sample in family.samples}


def exposition(scrape: int) -> str:
    """The recorded text at the `scrape`-th scrape."""
    lines = []
    for family in text_string_to_metric_families(RECORDED.read_text()):
        lines.append(f"# TYPE {family.name}{'_total' if family.type == 'counter' else ''} {family.type}")
        buckets = 0
        for sample in family.samples:
            buckets = buckets + 1 if sample.name.endswith("_bucket") else buckets
            growth = {"counter": 1, "histogram": buckets}.get(family.type, 0)
            if sample.name.endswith(("_count", "_sum")):
                buckets = 0
            labels = ",".join(f'{name}="{value}"' for name, value in sample.labels.items())
            lines.append(f"{sample.name}{{{labels}}} {sample.value + growth * scrape}")
    return "\n".join(lines) + "\n"


@contextmanager
def exposed() -> Iterator[str]:
    """Serve it on the loopback; yields `address:port`."""
    scrapes = 0

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal scrapes
            scrapes += 1
            body = exposition(scrapes).encode()
            self.send_response(200)
            self.send_header("content-type", CONTENT_TYPE_PLAIN_0_0_4)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

"""The container's health check: exits with 0 if `/readyz` says that a request would be served now.

It asks the service on this host directly (`http.client` uses no proxy). Knows nothing about the service but that path.
"""

import http.client
import os
import sys


def main() -> int:
    """Return 0 if the service is ready, and 1 if it is not or does not answer within five seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", int(os.environ.get("SPEECHSUM_PORT", "8000")), timeout=5)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        print(response.read(2000).decode("utf-8", "replace"))
        return int(response.status != 200)
    except (OSError, http.client.HTTPException) as error:
        print(f"/readyz: {error}")
        return 1
    finally:
        connection.close()


if __name__ == "__main__":
    sys.exit(main())

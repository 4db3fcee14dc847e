"""The clients' methods for a key's vocabulary, against the real service."""

from typing import Any

import pytest
from speechsum_client import InvalidRequest, Unauthorized

from tests.app.running_service import Site, wav
from tests.clients.python.conftest import KEYS, Connect


def test_the_names_of_a_key_are_kept_used_and_deleted(service: Any, site: Site, connect: Connect) -> None:
    service.delete_vocabulary()
    assert service.vocabulary() == []
    assert service.replace_vocabulary(["Kubernetes", " Aoife  Gallagher ", "Kubernetes"])[0] == "Kubernetes"
    kept = service.vocabulary()
    assert [" ".join(term.split()) for term in kept] == ["Kubernetes", "Aoife Gallagher"]
    service.summarize(wav(), vocabulary=["Grafana"])
    assert site.engine.requests[-1].vocabulary == ("Grafana", *kept)
    assert connect(f"http://127.0.0.1:{site.port}", KEYS[1]).vocabulary() == []
    service.delete_vocabulary()
    assert service.vocabulary() == []


def test_what_is_no_vocabulary_is_refused(service: Any, site: Site, connect: Connect) -> None:
    with pytest.raises(InvalidRequest):
        service.replace_vocabulary(["x" * 81])
    with pytest.raises(TypeError, match="list of texts"):
        service.replace_vocabulary("Kubernetes")
    with pytest.raises(Unauthorized):
        connect(f"http://127.0.0.1:{site.port}").vocabulary()

"""A model hub on loopback, for the tests of downloads."""

from tests.model_repo.hub_fixtures import hub, no_hub

__all__ = ["hub", "no_hub"]

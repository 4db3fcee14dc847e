"""The version of the installed package."""

from importlib import metadata


def package_version() -> str:
    """Return the installed version, or "0+source" where the package runs from its source without being installed."""
    try:
        return metadata.version("speechsum")
    except metadata.PackageNotFoundError:
        return "0+source"

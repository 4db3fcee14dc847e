"""Reads the settings for a command and starts the log."""

import logging
import os
from typing import Any

from pydantic import ValidationError

from app.cli.errors import SettingsError
from app.settings import Settings, setting_name, unknown_variables
from app.telemetry.logs import configure_log


def load_settings(**overrides: Any) -> Settings:
    """Return the settings of the environment and `.env`. overrides: values of options; None is left out.

    Raises:
        SettingsError: if one of them is not valid.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        faults = ((setting_name(*map(str, fault["loc"])), fault["msg"]) for fault in error.errors())
        raise SettingsError([f"{name}: {message}" for name, message in faults]) from error


def start_logging(settings: Settings) -> None:
    """Log to standard error, and warn of variables that look like settings and are none."""
    configure_log(settings.log_level, settings.log_format)
    for name in misspelt_variables():
        logging.warning("%s is not a setting of this service and has no effect.", name)


def misspelt_variables() -> list[str]:
    """Return the variables of the environment and `.env` that have the prefix of settings and are none."""
    from dotenv import dotenv_values

    return unknown_variables({**dotenv_values(".env"), **os.environ})

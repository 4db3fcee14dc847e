"""Settings: from the environment, documented one by one, and `.env.example` in step with them."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from app.setting_types import parse_weighted_model
from app.settings import LimitSettings, Settings, env_example, setting_fields, setting_name, unknown_variables

ROOT = Path(__file__).resolve().parents[2]


def test_the_example_file_is_in_step() -> None:
    assert (ROOT / ".env.example").read_text() == env_example(), "run `make docs-write`"


def test_every_setting_has_a_sentence() -> None:
    for path, field in setting_fields():
        assert field.description, path
        assert field.description.endswith("."), path


def test_the_example_names_no_path_of_the_machine_it_was_written_on() -> None:
    assert str(Path.home()) not in env_example()
    assert str(ROOT) not in env_example()


def test_every_uncommented_example_line_is_a_setting_with_its_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [line.removeprefix("# ") for line in env_example().splitlines() if line.startswith("# SPEECHSUM_")]
    assert len(lines) == len(list(setting_fields()))
    file = tmp_path / "env"
    file.write_text("\n".join(lines))
    assert Settings(_env_file=file) == Settings(_env_file=None)  # type: ignore[call-arg]


def test_the_environment_is_read_by_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECHSUM_PORT", "9000")
    monkeypatch.setenv(setting_name("limits", "upload_bytes"), "123")
    monkeypatch.setenv("SPEECHSUM_AUTH__KEYS", "one, two,")
    monkeypatch.setenv("SPEECHSUM_ENGINE__ENFORCE_EAGER", "false")
    monkeypatch.setenv("SPEECHSUM_FETCH__HOSTS", "audio.example.org, *.example.com")
    monkeypatch.setenv("SPEECHSUM_FETCH__PORTS", "443, 8443")
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    assert (settings.port, settings.limits.upload_bytes) == (9000, 123)
    assert [key.get_secret_value() for key in settings.auth.keys] == ["one", "two"]
    assert (settings.fetch.hosts, settings.fetch.ports) == (["audio.example.org", "*.example.com"], [443, 8443])
    assert settings.engine.enforce_eager is False
    assert settings.limits.channels == LimitSettings().channels


def test_servers_are_named_with_or_without_the_apis_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECHSUM_REMOTE__URLS", "http://gpu-1:8001/, https://gpu-2/v1,http://[::1]:8001/behind/proxy")
    monkeypatch.setenv("SPEECHSUM_REMOTE__API_KEY", "hush-hush")
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    assert settings.remote.urls == ["http://gpu-1:8001", "https://gpu-2", "http://[::1]:8001/behind/proxy"]
    assert "hush-hush" not in repr(settings)


@pytest.mark.parametrize(
    ("urls", "said"),
    [
        ("gpu-1:8001", "is not an address"),
        ("http://", "is not an address"),
        ("ftp://gpu-1", "is not an address"),
        ("http://gpu-1:8001?x=1", "is not an address"),
        ("http://gpu-1:many", "[Pp]ort"),
        ("http://me:secret@gpu-1:8001", "must not contain a user"),
        ("http://gpu-1:8001,http://gpu-1:8001/v1", "twice"),
    ],
)
def test_what_is_no_servers_address_stops_the_start(monkeypatch: pytest.MonkeyPatch, urls: str, said: str) -> None:
    monkeypatch.setenv("SPEECHSUM_REMOTE__URLS", urls)
    with pytest.raises(ValidationError, match=said) as refusal:
        Settings(_env_file=None)  # type: ignore[call-arg]
    assert "secret" not in refusal.value.errors()[0]["msg"]


def test_a_models_own_servers_go_before_those_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECHSUM_REMOTE__URLS", "http://gpu-1:8001")
    own = "tiny@2=http://gpu-2:8001/v1,tiny=http://gpu-3:8001,tiny@2=http://gpu-4:8001?x"
    monkeypatch.setenv("SPEECHSUM_REMOTE__MODELS", own.removesuffix("?x"))
    remote = Settings(_env_file=None).remote  # type: ignore[call-arg]
    assert remote.model_urls("tiny", "2") == ["http://gpu-2:8001", "http://gpu-4:8001"]
    assert remote.model_urls("tiny", "1") == ["http://gpu-3:8001"]
    assert remote.model_urls("other", "1") == ["http://gpu-1:8001"]
    monkeypatch.setenv("SPEECHSUM_REMOTE__MODELS", own)
    with pytest.raises(ValidationError, match="is not an address"):
        Settings(_env_file=None)  # type: ignore[call-arg]


def test_models_have_the_weight_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPEECHSUM_MODELS", "tiny@2=90, tiny@1=0.5,other")
    settings = Settings(_env_file=None)  # type: ignore[call-arg]
    assert [parse_weighted_model(entry) for entry in settings.models] == [
        ("tiny@2", 90),
        ("tiny@1", 0.5),
        ("other", 100),
    ]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SPEECHSUM_MODELS", "tiny=heavy"),
        ("SPEECHSUM_MODELS", "tiny=-1"),
        ("SPEECHSUM_MODELS", "tiny=nan"),
        ("SPEECHSUM_MODELS", "=1"),
        ("SPEECHSUM_ADAPTERS__SERVED", "terse@1=/adapters/1"),
        ("SPEECHSUM_ADAPTERS__SERVED", "terse=/adapters/1,terse=/adapters/2"),
        ("SPEECHSUM_PORT", "70000"),
        ("SPEECHSUM_LIMITS__UPLOAD_BYTES", "0"),
        ("SPEECHSUM_LIMITS__UPLOAD_BITES", "5"),
        ("SPEECHSUM_FETCH__PORTS", "http"),
        ("SPEECHSUM_FETCH__PORTS", "70000"),
    ],
)
def test_a_wrong_setting_stops_the_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        Settings(_env_file=None)  # type: ignore[call-arg]


def test_misspelt_variables_are_found() -> None:
    environment = {"SPEECHSUM_PROT": "1", "SPEECHSUM_PORT": "1", "SPEECHSUM_ENGINE__DTYPE": "auto", "PATH": "x"}
    assert unknown_variables(environment) == ["SPEECHSUM_PROT"]

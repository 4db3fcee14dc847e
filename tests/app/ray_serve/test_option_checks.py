"""Options of the application that do not fit the settings are refused before anything starts."""

import pytest

from app.ray_serve.option_checks import check_engine_gpus, check_shared_state, count_engine_gpus
from app.ray_serve.options import DeploymentOptions, ServeOptions
from app.settings import Settings


def test_several_ingresses_need_a_database_that_they_share() -> None:
    several = ServeOptions(ingress=DeploymentOptions(max_replicas=2))
    with pytest.raises(ValueError, match="SPEECHSUM_JOBS__DATABASE"):
        check_shared_state(Settings(), several)
    check_shared_state(Settings(), ServeOptions())
    check_shared_state(Settings(jobs={"database": "postgresql://db/x"}), several)  # type: ignore[arg-type]


def test_an_engine_reserves_the_gpus_that_its_model_computes_on() -> None:
    two = Settings(engine={"tensor_parallel_size": 2})  # type: ignore[arg-type]
    assert count_engine_gpus(two) == 2
    assert count_engine_gpus(Settings(engine={"device": "cpu"})) == 0  # type: ignore[arg-type]
    check_engine_gpus(two, ServeOptions())
    check_engine_gpus(two, ServeOptions(engine=DeploymentOptions(ray_actor_options={"num_gpus": 2})))
    with pytest.raises(ValueError, match="set it to 2"):
        check_engine_gpus(two, ServeOptions(engine=DeploymentOptions(ray_actor_options={"num_gpus": 1})))

"""Checks that the options of the application fit the settings of the service. Needs no Ray."""

from app.ray_serve.options import ServeOptions
from app.settings import Settings, setting_name


def check_shared_state(settings: Settings, options: ServeOptions) -> None:
    """Raise ValueError if there may be several replicas of the ingress without a database that they share.

    A job that one of them has queued would be unknown to the others.
    """
    if options.ingress.max_replicas > 1 and not settings.jobs.database.get_secret_value():
        raise ValueError(
            "several replicas of ingress share jobs, keys and quotas in a database: set "
            f"{setting_name('jobs', 'database')}, and {setting_name('jobs', 'blobs')} to a place that all can reach"
        )


def check_engine_gpus(settings: Settings, options: ServeOptions) -> None:
    """Raise ValueError if a replica of the engine reserves fewer GPUs than its model computes on.

    Ray would show it the reserved ones only, and vLLM would fail when it loads the model.
    """
    reserved, needed = options.engine.ray_actor_options.get("num_gpus"), count_engine_gpus(settings)
    if reserved is not None and reserved < needed:
        raise ValueError(
            f"a replica of the engine reserves {reserved} GPUs by `ray_actor_options`, and "
            f"{setting_name('engine', 'tensor_parallel_size')} times {setting_name('engine', 'data_parallel_size')} is "
            f"{needed}: leave `num_gpus` out, or set it to {needed}. For a model that runs on the CPU, set "
            f"{setting_name('engine', 'device')}=cpu"
        )


def count_engine_gpus(settings: Settings) -> int:
    """Return the number of GPUs that one replica of the engine computes on; 0 if it computes on the CPU."""
    engine = settings.engine
    return 0 if engine.device == "cpu" else engine.tensor_parallel_size * engine.data_parallel_size

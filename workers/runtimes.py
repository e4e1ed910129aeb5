"""What serves this host's models, from its profile to a running runtime."""

import asyncio
import logging
from datetime import UTC, datetime

from pointwork.contract.local_run import ModelBuild
from pointwork.ledger.local_builds import LocalBuilds
from pointwork.ledger.runtime_log import RuntimeLog
from pointwork.local.builds import RecordedRuntime
from pointwork.local.card import CardUnreadableError, ReadCards, drift, read_cards
from pointwork.local.fallback import FallbackRuntime, RuntimeChange
from pointwork.local.lease import DeviceLease
from pointwork.local.llama_cpp import LlamaCppRuntime, LlamaModel
from pointwork.local.ollama import OllamaRuntime
from pointwork.local.runtime import LocalRuntime
from pointwork.local.vllm import VllmRuntime
from pointwork.local.vllm_server import VllmModel, VllmServing
from pointwork.local.weights import CATALOGUE, installed_path
from pointwork.policy.bundle import PolicyBundle
from pointwork.policy.documents.catalogue import Gpu
from workers.settings import Settings, child_environment
from workers.wiring import Parts

_log = logging.getLogger("workers")


def served_models(bundle: PolicyBundle) -> dict[str, str]:
    """The catalogue's ids of the host's models, by the name that requests carry."""
    return {bundle.models[name].model.served_as: name for name in bundle.host.local_models}


async def open_runtime(
    parts: Parts, lease: DeviceLease, api_key: str, read: ReadCards = read_cards
) -> LocalRuntime:
    """The runtime that the host profile names, with what that wants started before the first task.

    Where the card is not the one on record the log says so (CX-75); ``read`` asks the driver.
    """
    bundle = parts.library.of_this_host
    await asyncio.to_thread(_warn_of_drift, bundle.host.gpu, read)
    settings = parts.settings
    runtime = bundle.host.runtime
    match runtime.kind:
        case "llama_cpp":
            return _llama_cpp(bundle, settings, lease, api_key)
        case "ollama":
            assert runtime.url is not None
            return OllamaRuntime(served_models(bundle), runtime.url.rstrip("/"), lease=lease)
        case "vllm":
            vllm = _vllm(bundle, settings, lease, api_key)
            if runtime.prestart:
                try:
                    await vllm.prepare()
                except BaseException:
                    await vllm.aclose()
                    raise
            if runtime.fallback is None:
                return vllm
            return _with_fallback(parts, vllm, _llama_cpp(bundle, settings, lease, api_key))


def recorded(parts: Parts, runtime: LocalRuntime) -> LocalRuntime:
    """``runtime``, with each build it loads on this host's record (CX-13)."""
    builds = LocalBuilds(parts.engine, parts.library.of_this_host.host.host)

    async def record(model: str, build: ModelBuild) -> bool:
        return await asyncio.to_thread(builds.note, model, build, datetime.now(UTC))

    return RecordedRuntime(runtime, record)


def _warn_of_drift(record: Gpu | None, read: ReadCards) -> None:
    if record is None:
        return
    try:
        for each in drift(record, read()):
            _log.warning("the card is not as the host profile says: %s", each)
    except CardUnreadableError as unreadable:
        _log.warning("the card on record could not be compared with the real one: %s", unreadable)


def _context_tokens(bundle: PolicyBundle, name: str) -> int:
    of_model = bundle.models[name].model.context_tokens
    return min(of_model, bundle.host.runtime.context_tokens.get(name, of_model))


def _llama_cpp(
    bundle: PolicyBundle, settings: Settings, lease: DeviceLease, api_key: str
) -> LlamaCppRuntime:
    store = settings.state_dir / "models"
    models = {
        served_as: LlamaModel(
            path=installed_path(name, store)
            if name in CATALOGUE
            else store / name / f"{name}.gguf",
            revision=f"sha256:{CATALOGUE[name].sha256}" if name in CATALOGUE else "",
            context_tokens=_context_tokens(bundle, name),
            parallel_requests=bundle.host.parallel_requests,
        )
        for served_as, name in served_models(bundle).items()
    }
    return LlamaCppRuntime(models, settings.state_dir / "logs", lease=lease, api_key=api_key)


def _vllm(
    bundle: PolicyBundle, settings: Settings, lease: DeviceLease, api_key: str
) -> VllmRuntime:
    runtime = bundle.host.runtime
    models: dict[str, VllmModel] = {}
    for served_as, name in served_models(bundle).items():
        weights = runtime.weights.get(name)
        folder = (settings.state_dir / "models" / name).absolute()
        models[served_as] = VllmModel(
            source=(weights and weights.source) or str(folder),
            revision=(weights and weights.revision) or "",
            context_tokens=_context_tokens(bundle, name),
            parallel_requests=bundle.host.parallel_requests,
            arguments=weights.arguments if weights else (),
            attached_url=_api_url(runtime.attached[name]) if name in runtime.attached else "",
        )
    serving = VllmServing(
        command=settings.vllm_command,
        environment=child_environment(),
        gpu_memory_utilization=str(runtime.gpu_memory_utilization),
        sleep_level=runtime.sleep_level or None,
        start_timeout_seconds=runtime.start_timeout_seconds,
        swap_timeout_seconds=runtime.swap_timeout_seconds,
    )
    logs = settings.state_dir / "logs"
    return VllmRuntime(models, logs, lease=lease, serving=serving, api_key=api_key)


def _api_url(url: str) -> str:
    return f"{url.rstrip('/').removesuffix('/v1')}/v1"


def _with_fallback(parts: Parts, vllm: VllmRuntime, llama: LlamaCppRuntime) -> FallbackRuntime:
    host = parts.library.of_this_host.host
    log = RuntimeLog(parts.engine, host.host)

    async def record(change: RuntimeChange) -> None:
        await asyncio.to_thread(
            log.append,
            model=change.model,
            from_runtime=change.from_runtime,
            to_runtime=change.to_runtime,
            cause=change.cause,
            is_fallback=change.is_fallback,
            now=datetime.now(UTC),
        )

    return FallbackRuntime(
        vllm,
        llama,
        llama.installed_models(),
        record,
        retry_after_seconds=host.runtime.fallback_retry_seconds,
    )

"""The one place that reads the environment. Our own settings have the prefix ``POINTWORK_``."""

import os
import re
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from pointwork.contract.task import CONTENT_BYTES_MAX, OUTPUT_TOKENS_MAX, Sensitivity
from pointwork.failpoints import Failpoint
from pointwork.ledger.retention import DAYS_MAX
from pointwork.ledger.sealed_bytes import INLINE_BYTES_MAX
from pointwork.policy.documents.release import Profile
from pointwork.providers.origin import Origin

STATE_DIR_DEFAULT = Path(".pointwork")
_FOR_MODEL_SERVERS = re.compile(
    r"PATH|HOME|USER|LANG|LC_\w+|TMPDIR|TZ|LD_LIBRARY_PATH"
    r"|(CUDA|NVIDIA|NCCL|HF|HUGGINGFACE|TORCH|PYTORCH|TRITON|VLLM|XDG|OMP|MKL|CC|CXX)(_\w+)?"
)
_SECRET = re.compile(r"TOKEN|KEY|SECRET|PASSWORD")


def child_environment() -> dict[str, str]:
    """What a model's server that is not ours is handed: no key, and nothing of our own settings."""
    return {
        name: value
        for name, value in os.environ.items()
        if _FOR_MODEL_SERVERS.fullmatch(name) and not _SECRET.search(name)
    }


class Credentials(BaseSettings):
    """Keys of the vendors, by the names the catalogue uses; the vendors' own variables work too."""

    model_config = SettingsConfigDict(env_prefix="", frozen=True, extra="ignore")

    openai_api_key: SecretStr | None = None
    anthropic_api_key: SecretStr | None = None
    google_api_key: SecretStr | None = None
    xai_api_key: SecretStr | None = None
    deepseek_api_key: SecretStr | None = None
    moonshot_api_key: SecretStr | None = None
    openrouter_api_key: SecretStr | None = None

    def of(self, credential: str) -> str | None:
        """The key with this name, or None where it is not set or empty."""
        value = getattr(self, credential, None)
        return value.get_secret_value() or None if isinstance(value, SecretStr) else None


class BenchSettings(BaseSettings):
    """``POINTWORK_BENCH_DATA``: the folder with the public data sets that benches read."""

    model_config = SettingsConfigDict(env_prefix="POINTWORK_BENCH_", frozen=True, extra="ignore")

    data: Path | None = None


class SpecKit(BaseSettings):
    """``SPEC_KIT_CONSENSUS`` and ``SPEC_KIT_CRITIC``, by the names other tools know (CX-37)."""

    model_config = SettingsConfigDict(env_prefix="SPEC_KIT_", frozen=True, extra="ignore")

    consensus: bool = False
    """Legacy mode of several agents a stage: deprecated, not recommended."""
    critic: bool = False
    """A critic comments beside each stage and holds nothing up."""


class NoticeSettings(BaseSettings):
    """``POINTWORK_NOTICE_…``: who is told that a task waits, and where they can look at it.

    An address may be a secret by itself, as those of chat webhooks are.
    """

    model_config = SettingsConfigDict(env_prefix="POINTWORK_NOTICE_", frozen=True, extra="ignore")

    console_url: str = ""
    """Notices link to ``…/tasks/ID`` under it; without it they name the command."""
    webhook_url: SecretStr | None = None
    webhook_secret: SecretStr | None = None
    """Signs each body with HMAC-SHA-256, in the header ``pointwork-signature``."""
    chat_url: SecretStr | None = None
    """An incoming webhook that takes ``{"text": …}``, such as Slack's or Mattermost's."""
    smtp_host: str = ""
    smtp_port: int = Field(default=587, ge=1, le=65_535)
    smtp_tls: Literal["starttls", "tls", "none"] = "starttls"
    """``none`` is for a server on an address of this house."""
    smtp_user: str = ""
    smtp_password: SecretStr | None = None
    email_from: str = ""
    email_to: tuple[str, ...] = ()
    """As JSON, such as ``["ada@example.org"]``."""
    email_escalation_to: tuple[str, ...] = ()
    """Who is told as well when nobody answered a reminder."""

    @model_validator(mode="after")
    def _can_be_sent(self) -> Self:
        for name, url in (("WEBHOOK_URL", self.webhook_url), ("CHAT_URL", self.chat_url)):
            if url is not None:
                try:
                    Origin.of(url.get_secret_value())
                except ValueError as error:
                    reason = str(error).replace("base_url", "it")
                    raise ValueError(f"POINTWORK_NOTICE_{name}: {reason}") from None
        if (self.email_to or self.email_escalation_to) and not (self.smtp_host and self.email_from):
            msg = (
                "POINTWORK_NOTICE_EMAIL_TO is set without POINTWORK_NOTICE_SMTP_HOST and "
                "POINTWORK_NOTICE_EMAIL_FROM; set both"
            )
            raise ValueError(msg)
        return self


class GatewaySettings(BaseSettings):
    """``POINTWORK_GATEWAY_…``: where the HTTP surface listens and what it lets through."""

    model_config = SettingsConfigDict(env_prefix="POINTWORK_GATEWAY_", frozen=True, extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(default=8780, ge=0, le=65_535)
    """0 takes any free port."""
    listen_fd: int | None = None
    """A listening socket that whoever started the process opened; it wins over host and port."""
    stream_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """Where workers reach this replica to send an answer as it is written, such as
    ``http://10.0.0.7:8780``: an address of this house. Empty takes the address it listens on,
    unless that is every address; then answers are sent whole."""
    pack: str = "omega"
    """The pack of requests that name none."""
    max_output_tokens: int = Field(default=1024, ge=1, le=OUTPUT_TOKENS_MAX)
    """Where a request sets no limit."""
    wait_seconds: int = Field(default=600, ge=1, le=3600)
    """Longest a request stays open; its task goes on after it."""
    requests_a_second: float = Field(default=200.0, gt=0)
    """Of one key and one replica, beside ``burst`` and ``in_flight_max``."""
    shared_requests_a_second: int | None = Field(default=None, ge=1)
    """Of one key and all replicas together, counted in the ledger; None counts each replica's."""
    burst: int = Field(default=400, ge=1)
    in_flight_max: int = Field(default=200, ge=1)
    temporal_ui_url: str = Field(default="", pattern=r"^(https?://\S+)?$")
    """The namespace's page in Temporal's UI, such as ``http://localhost:8233/namespaces/default``;
    the console links each task to its history there. Empty links nowhere, but for ``pointwork up``,
    which knows its own."""


class Settings(BaseSettings):
    """How this process reaches Temporal, the ledger and its policy."""

    model_config = SettingsConfigDict(env_prefix="POINTWORK_", frozen=True, extra="ignore")

    state_dir: Path = STATE_DIR_DEFAULT
    temporal_address: str | None = None
    """host:port; None takes the address that ``pointwork up`` wrote into the state directory."""
    temporal_namespace: str = "default"
    ledger_url: str | None = None
    """``sqlite:///…`` or ``postgresql://…``; None is the state directory's own ``ledger.db``."""
    master_key_file: Path | None = None
    vault_url: str | None = None
    """``s3://``, ``gs://``, ``az://`` or ``file:///``: where large sealed contents lie; None keeps
    all of them in the ledger. Commands and clients that open content need the same."""
    vault_options: dict[str, str] = Field(default_factory=dict, repr=False)
    """Of the store, as JSON, such as an endpoint; its own variables give what is left out."""
    vault_inline_bytes: int = Field(default=INLINE_BYTES_MAX, ge=0, le=CONTENT_BYTES_MAX)
    """Contents up to this many bytes stay in the ledger all the same."""
    content_retention_days: dict[Sensitivity, Annotated[int, Field(ge=1, le=DAYS_MAX)] | None] = (
        Field(default_factory=dict)
    )
    """Days that content is kept after its task's end, as JSON by sensitivity over the defaults;
    null keeps it. Undeclared content counts as restricted. Records are not touched."""
    payload_keys: Path | None = None
    """File of the keys that seal every payload in Temporal; None leaves them as they are."""
    payload_plaintext_accepted: bool = False
    """Payloads from before there were keys are taken too, and so are anybody else's."""
    policies_dir: Path = Path("policies")
    host: str = "embedded"
    profile: Profile = "development"
    """``production`` takes a pack that asks for a signed release only with one (SP-52)."""
    release_keys: Path | None = None
    """JSON object of key id and base64 of an Ed25519 public key: who may release packs."""
    threads: int = Field(default=32, ge=1, le=256)
    """Threads for activities that touch the ledger or scan text."""
    calls_in_flight_max: int = Field(default=200, ge=1, le=10_000)
    """Calls to vendors that one worker has open at a time."""
    vllm_command: Annotated[tuple[str, ...], Field(min_length=1)] = ("vllm", "serve")
    """What starts a vLLM server, as JSON; the model and its arguments follow."""
    drain_seconds: float = Field(default=8.0, ge=0, le=3600)
    """How long, 2 s at least, a GPU worker told to stop lets its running generations go on; what
    still waits for its turn is handed back at once. Whoever stops it must have more patience than
    this and what its model servers take to end; ``pointwork up`` has 15 s."""
    electricity_meter: Annotated[str, Field(pattern=r"^(nvml|rapl|[1-9][0-9]{0,4})?$")] = ""
    """What tells the energy that calls on this host's card use: ``nvml`` is an NVIDIA card's own
    counter, ``rapl`` the processor's, a number the watts to assume. Empty meters nothing."""
    electricity_usd_per_kwh: Annotated[Decimal, Field(ge=0, le=1000, decimal_places=9)] | None = (
        None
    )
    """The operator's tariff for it, such as 0.32."""
    local_api_key: SecretStr | None = None
    """What attached model servers of this host ask for; None makes a key for each run."""
    corpora_dir: Path | None = None
    """Indexes of ``pointwork corpus add``; None is ``corpora`` in the state directory."""
    embeddings_url: str | None = None
    """``http://…/v1`` of this house's embedding server; None takes the model that ships here."""
    embeddings_model: str = "bge-m3"
    embeddings_revision: str = "unpinned"
    """What the server serves, such as a commit of the weights: part of the space's id (CX-24)."""
    embeddings_dimensions: int = Field(default=1024, ge=1, le=4096)
    vision_model: Path | None = None
    """An ONNX object detector of this host; None refuses every image (CX-25)."""
    vision_model_sha256: str = ""
    language_reading: bool = True
    """Whether text that a pack redacts is read for names, places and addresses as well; false
    leaves patterns and checksums alone, and the record of each task says so."""
    quotas_a_day: dict[str, int] = Field(default_factory=dict)
    """Requests each vendor allows a UTC day, as JSON by endpoint; what is not named is unknown."""
    otlp_endpoint: str | None = None
    """``http://127.0.0.1:4318`` or another collector that is given traces; None makes none."""
    log_level: str = "INFO"
    failpoint: Failpoint | None = None
    """Where this process is to end, to test what survives it; in the development profile only."""
    failpoint_once: Path | None = None
    """The file that says the failpoint was reached; while it exists nothing ends there."""
    credentials: Credentials = Field(default_factory=Credentials)
    spec_kit: SpecKit = Field(default_factory=SpecKit)
    notices: NoticeSettings = Field(default_factory=NoticeSettings)
    gateway: GatewaySettings = Field(default_factory=GatewaySettings)

    @model_validator(mode="after")
    def _failpoint_is_for_tests(self) -> Self:
        if self.failpoint is None:
            return self
        if self.profile != "development":
            msg = (
                f"POINTWORK_FAILPOINT is {self.failpoint} and POINTWORK_PROFILE is {self.profile}; "
                "unset POINTWORK_FAILPOINT, which ends the process on purpose"
            )
            raise ValueError(msg)
        if self.failpoint_once is None:
            msg = (
                f"POINTWORK_FAILPOINT is {self.failpoint} without POINTWORK_FAILPOINT_ONCE; name "
                "the file that will say it was reached"
            )
            raise ValueError(msg)
        return self

    @property
    def ledger_address(self) -> str:
        return self.ledger_url or f"sqlite:///{self.ledger_path}"

    @property
    def ledger_path(self) -> Path:
        """The file of the ledger, where no ``ledger_url`` is given."""
        return (self.state_dir / "ledger.db").absolute()

    @property
    def corpora_path(self) -> Path:
        return self.corpora_dir or self.state_dir / "corpora"

    @property
    def master_key_path(self) -> Path:
        return self.master_key_file or self.state_dir / "master.key"

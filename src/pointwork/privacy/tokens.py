"""Credentials that show what they are by their own form, vendor by vendor.

Every pattern starts at a literal or behind a look-behind and holds nothing that can fail after an
unbounded repeat, so a scan is linear in the text. A pattern runs only where one of its ``hints``
occurs, which a plain text almost never does.
"""

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Span = tuple[str, int, int]
"""Kind, start and end (half open) in the characters of the text that was searched."""


@dataclass(frozen=True, slots=True)
class TokenRule:
    """``pattern``'s first group, or the whole match where it has none, is the credential."""

    kind: str
    hints: tuple[str, ...]
    pattern: re.Pattern[str]
    check: Callable[[str], bool] | None = None


def find_tokens(text: str) -> Iterator[Span]:
    """Every credential in ``text`` whose own form names it, rule by rule."""
    for rule in TOKEN_RULES:
        if not any(hint in text for hint in rule.hints):
            continue
        group = 1 if rule.pattern.groups else 0
        for match in rule.pattern.finditer(text):
            if rule.check is None or rule.check(match[group]):
                yield rule.kind, match.start(group), match.end(group)


def decode_base64(text: str) -> bytes:
    """Standard or URL-safe base64 without regard to padding; empty where it is not base64."""
    body = text.rstrip("=").replace("-", "+").replace("_", "/")
    body = body[: len(body) - (len(body) % 4 == 1)]
    try:
        return base64.b64decode(body + "=" * (-len(body) % 4), validate=True)
    except binascii.Error:
        return b""


def is_user_and_password(encoded: str) -> bool:
    """Base64 of printable ``user:password``, as HTTP Basic and container registries write it."""
    decoded = decode_base64(encoded)
    return decoded.isascii() and b":" in decoded and decoded.decode("ascii").isprintable()


def _is_jwt(token: str) -> bool:
    try:
        header = json.loads(decode_base64(token.partition(".")[0]))
    except ValueError:
        return False
    return isinstance(header, dict) and bool({"alg", "typ", "enc", "kid"} & header.keys())


def _rule(
    kind: str, pattern: str, *hints: str, check: Callable[[str], bool] | None = None
) -> TokenRule:
    compiled = re.compile(r"(?<![A-Za-z0-9])" + pattern)
    return TokenRule(kind=kind, hints=hints, pattern=compiled, check=check)


_HEX = "[0-9a-fA-F]"
_ALNUM = "[A-Za-z0-9]"
_WORD = "[A-Za-z0-9_-]"

TOKEN_RULES: tuple[TokenRule, ...] = (
    # Clouds
    _rule("AWS_ACCESS_KEY", r"A(?:KIA|SIA|BIA|CCA)[A-Z0-9]{16}", "AKIA", "ASIA", "ABIA", "ACCA"),
    _rule("AWS_BEDROCK_KEY", r"ABSK[A-Za-z0-9+/]{60,}={0,2}", "ABSK"),
    _rule(
        "AWS_SECRET_KEY",
        r"(?i:aws|secret|access)[^\n]{0,40}?[\"'=:\s]([A-Za-z0-9/+]{40})(?![A-Za-z0-9/+=])",
        "aws",
        "AWS",
        "Secret",
        "SECRET",
        "secret_access",
    ),
    _rule("GCP_SERVICE_ACCOUNT", rf'private_key_id\\?"\s*:\s*\\?"({_HEX}{{40}})', "private_key_id"),
    _rule("GOOGLE_API_KEY", rf"AIza{_WORD}{{35}}", "AIza"),
    _rule("GOOGLE_OAUTH_SECRET", rf"GOCSPX-{_WORD}{{20,}}", "GOCSPX-"),
    _rule("GOOGLE_OAUTH_TOKEN", rf"ya29\.{_WORD}{{20,}}", "ya29."),
    _rule("AZURE_STORAGE_KEY", r"AccountKey=([A-Za-z0-9+/]{60,}={0,2})", "AccountKey="),
    _rule("AZURE_SHARED_ACCESS_KEY", r"SharedAccessKey=([A-Za-z0-9+/]{30,}={0,2})", "SharedAccess"),
    _rule("AZURE_CLIENT_SECRET", r"([A-Za-z0-9_~.]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34})", "Q~"),
    _rule("AZURE_SAS", r"sig=([A-Za-z0-9%+/]{40,}={0,2})", "sig="),
    _rule("AZURE_DEVOPS_TOKEN", rf"({_ALNUM}{{40,80}}AZDO{_ALNUM}{{4}})", "AZDO"),
    _rule("DIGITALOCEAN_TOKEN", rf"do[opr]_v1_{_HEX}{{64}}", "_v1_"),
    _rule("ALIBABA_ACCESS_KEY", rf"LTAI{_ALNUM}{{12,26}}", "LTAI"),
    _rule("HEROKU_KEY", rf"HRKU-{_WORD}{{36,}}", "HRKU-"),
    # Models
    _rule(
        "OPENAI_KEY",
        rf"sk-(?:(?:proj|svcacct|admin|service|None)-{_WORD}{{20,}}"
        rf"|{_ALNUM}{{18,24}}T3BlbkFJ{_ALNUM}{{18,24}})",
        "sk-",
    ),
    _rule("ANTHROPIC_KEY", rf"sk-ant-{_WORD}{{20,}}", "sk-ant-"),
    _rule("OPENROUTER_KEY", rf"sk-or-(?:v1-)?{_HEX}{{32,}}", "sk-or-"),
    # DeepSeek's keys are 32 hex digits; Moonshot's and others' are 48 letters and digits.
    _rule("DEEPSEEK_KEY", r"sk-[0-9a-f]{32}(?![A-Za-z0-9])", "sk-"),
    _rule("SK_API_KEY", rf"sk-(?=[A-Za-z]{{0,64}}[0-9]){_ALNUM}{{32,}}", "sk-"),
    _rule("XAI_KEY", rf"xai-{_ALNUM}{{40,}}", "xai-"),
    _rule("HUGGINGFACE_TOKEN", rf"(?:hf|api_org)_{_ALNUM}{{30,}}", "hf_", "api_org_"),
    _rule("GROQ_KEY", rf"gsk_{_ALNUM}{{40,}}", "gsk_"),
    _rule("PERPLEXITY_KEY", rf"pplx-{_ALNUM}{{40,}}", "pplx-"),
    _rule("REPLICATE_TOKEN", rf"r8_{_ALNUM}{{37,}}", "r8_"),
    _rule("NVIDIA_KEY", rf"nvapi-{_WORD}{{40,}}", "nvapi-"),
    _rule("LANGSMITH_KEY", rf"lsv2_(?:pt|sk)_{_HEX}{{32}}_{_HEX}{{10}}", "lsv2_"),
    # Code and packages
    _rule("GITHUB_TOKEN", rf"gh[pousr]_{_ALNUM}{{36,}}", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    _rule("GITHUB_FINE_GRAINED_TOKEN", r"github_pat_[A-Za-z0-9_]{50,}", "github_pat_"),
    _rule(
        "GITLAB_TOKEN", rf"gl(?:pat|ptt|dt|rt|cbt|oas|ft|agent|soat|imt|ffct)-{_WORD}{{20,}}", "gl"
    ),
    _rule("BITBUCKET_TOKEN", rf"ATBB{_ALNUM}{{28,}}", "ATBB"),
    _rule("NPM_TOKEN", rf"npm_{_ALNUM}{{36}}", "npm_"),
    _rule("PYPI_TOKEN", rf"pypi-AgE{_WORD}{{50,}}", "pypi-AgE"),
    _rule("RUBYGEMS_KEY", rf"rubygems_{_HEX}{{48}}", "rubygems_"),
    _rule("CRATES_TOKEN", rf"cio{_ALNUM}{{32}}(?![A-Za-z0-9])", "cio"),
    _rule("DOCKER_TOKEN", rf"dckr_(?:pat|oat)_{_WORD}{{20,}}", "dckr_"),
    _rule("DOCKER_AUTH", r'auth\\?"\s*:\s*\\?"([A-Za-z0-9+/]{12,}={0,2})', 'auth"', 'auth\\"'),
    _rule("ATLASSIAN_TOKEN", r"AT(?:ATT3|CTT3)[A-Za-z0-9_=-]{60,}", "ATATT3", "ATCTT3"),
    _rule("LINEAR_KEY", rf"lin_(?:api|oauth)_{_ALNUM}{{32,}}", "lin_"),
    _rule("NOTION_TOKEN", rf"(?:ntn_{_ALNUM}{{40,}}|secret_{_ALNUM}{{43}})", "ntn_", "secret_"),
    _rule("POSTMAN_KEY", rf"PMAK-{_HEX}{{24}}-{_HEX}{{34}}", "PMAK-"),
    _rule("FIGMA_TOKEN", rf"figd_{_WORD}{{40,}}", "figd_"),
    # Messages and money
    _rule("SLACK_TOKEN", r"xox[a-z](?:\.xox[a-z])?-[A-Za-z0-9-]{10,}", "xox"),
    _rule("SLACK_APP_TOKEN", r"xapp-[0-9]-[A-Za-z0-9-]{20,}", "xapp-"),
    _rule(
        "SLACK_WEBHOOK",
        r"hooks\.slack\.com/(?:services|workflows|triggers)/([A-Za-z0-9_/]{20,})",
        "hooks.slack.com",
    ),
    _rule(
        "DISCORD_WEBHOOK",
        rf"discord(?:app)?\.com/api/webhooks/([0-9]{{15,20}}/{_WORD}{{40,}})",
        "/api/webhooks/",
    ),
    _rule(
        "DISCORD_BOT_TOKEN",
        rf"([MNO][A-Za-z0-9_-]{{23,27}}\.{_WORD}{{6}}\.{_WORD}{{27,40}})",
        ".",
    ),
    _rule("TELEGRAM_BOT_TOKEN", rf"([0-9]{{8,10}}:AA{_WORD}{{32,34}})", ":AA"),
    _rule("TWILIO_KEY", r"SK[0-9a-f]{32}(?![A-Za-z0-9])", "SK"),
    _rule("SENDGRID_KEY", rf"SG\.{_WORD}{{16,32}}\.{_WORD}{{32,64}}", "SG."),
    _rule("MAILGUN_KEY", rf"key-{_HEX}{{32}}(?![A-Za-z0-9])", "key-"),
    _rule("MAILCHIMP_KEY", r"([0-9a-f]{32}-us[0-9]{1,2})(?![A-Za-z0-9])", "-us"),
    _rule("BREVO_KEY", rf"xkeysib-{_HEX}{{64}}-{_ALNUM}{{16}}", "xkeysib-"),
    _rule("STRIPE_KEY", rf"[sr]k_(?:live|test)_{_ALNUM}{{16,}}", "k_live_", "k_test_"),
    _rule("STRIPE_WEBHOOK_SECRET", r"whsec_[A-Za-z0-9+/]{24,}={0,2}", "whsec_"),
    _rule(
        "SQUARE_TOKEN", rf"(?:sq0[a-z]{{3}}-{_WORD}{{22,}}|EAAA(?!A){_WORD}{{60}})", "sq0", "EAAA"
    ),
    _rule(
        "SHOPIFY_TOKEN", rf"shp(?:at|ca|pa|ss)_{_HEX}{{32}}", "shpat_", "shpca_", "shppa_", "shpss_"
    ),
    # Operations
    _rule("VAULT_TOKEN", rf"hv[sbr]\.{_WORD}{{24,}}", "hvs.", "hvb.", "hvr."),
    _rule("TERRAFORM_TOKEN", rf"({_ALNUM}{{14}}\.atlasv1\.{_WORD}{{40,}})", ".atlasv1."),
    _rule("DATABRICKS_TOKEN", rf"dapi{_HEX}{{32}}", "dapi"),
    _rule("NEW_RELIC_KEY", r"NRAK-[A-Z0-9]{27}", "NRAK-"),
    _rule(
        "GRAFANA_TOKEN",
        rf"gl(?:sa_{_ALNUM}{{32}}_{_HEX}{{8}}|c_[A-Za-z0-9+/]{{32,}}={{0,2}})",
        "gl",
    ),
    _rule("SENTRY_TOKEN", r"sntry[su]_[A-Za-z0-9+/=_-]{40,}", "sntry"),
    _rule("DYNATRACE_TOKEN", r"dt0[a-z][0-9]{2}\.[A-Z0-9]{24}\.[A-Z0-9]{64}", "dt0"),
    _rule("PLANETSCALE_TOKEN", r"pscale_(?:tkn|pw|oauth)_[A-Za-z0-9_.=-]{32,}", "pscale_"),
    _rule("SUPABASE_TOKEN", rf"sb[a-z]{{1,10}}_(?:secret_)?{_ALNUM}{{30,}}", "sbp_", "sb_secret_"),
    _rule("DOPPLER_TOKEN", r"dp\.(?:pt|st|ct|sa)\.[A-Za-z0-9._-]{40,}", "dp."),
    _rule("TAILSCALE_KEY", r"tskey-[a-z]{2,12}-[A-Za-z0-9-]{16,}", "tskey-"),
    _rule("PULUMI_TOKEN", rf"pul-{_HEX}{{40}}", "pul-"),
    _rule("ONEPASSWORD_TOKEN", r"ops_eyJ[A-Za-z0-9+/=_-]{80,}", "ops_eyJ"),
    _rule("AGE_SECRET_KEY", r"AGE-SECRET-KEY-1[0-9A-Z]{50,}", "AGE-SECRET-KEY-1"),
    _rule(
        "KUBECONFIG_KEY", r"client-key-data:\s{0,8}([A-Za-z0-9+/]{40,}={0,2})", "client-key-data"
    ),
    # Signed claims. The header must decode; the possessive body cannot be scanned twice.
    _rule(
        "JWT",
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]++(?:\.[A-Za-z0-9_-]*+){1,3}",
        "eyJ",
        check=_is_jwt,
    ),
    _rule(
        "BASIC_AUTH_HEADER",
        r"(?i:basic)\s{1,4}([A-Za-z0-9+/]{8,}={0,2})",
        "asic ",
        "ASIC ",
        check=is_user_and_password,
    ),
    _rule(
        "BEARER_TOKEN",
        r"(?i:bearer)\s{1,4}((?=[A-Za-z._~+/=-]{0,64}[0-9])[A-Za-z0-9._~+/=-]{16,})",
        "earer ",
        "EARER ",
    ),
)

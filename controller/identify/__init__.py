"""Actuator parameters from measurements: friction models M1 to M6 and two-node heat, with confidence intervals."""

from controller.identify.fit import Estimate, Fit
from controller.identify.friction import MODELS, FrictionFit, FrictionSamples, fit_friction, select_friction
from controller.identify.thermal import ThermalFit, ThermalSamples, fit_thermal

__all__ = [
    "MODELS",
    "Estimate",
    "Fit",
    "FrictionFit",
    "FrictionSamples",
    "ThermalFit",
    "ThermalSamples",
    "fit_friction",
    "fit_thermal",
    "select_friction",
]

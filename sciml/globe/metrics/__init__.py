"""Scores of forecasts on the globe: by channel and lead time, exact over batches and ranks."""

from sciml.globe.metrics.ensembles import EnsembleMetric, Ensembles
from sciml.globe.metrics.errors import Errors
from sciml.globe.metrics.forecast import ForecastMetric
from sciml.globe.metrics.spectra import Spectra
from sciml.globe.metrics.winds import Winds

__all__ = ["EnsembleMetric", "Ensembles", "Errors", "ForecastMetric", "Spectra", "Winds"]

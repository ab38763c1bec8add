"""Where prices are refreshed from: a module for each catalogue or provider."""

from pricing.sources import azure, gpuhunt, runpod, skypilot, vast
from pricing.sources.base import Fetched, Get, Source

SOURCES: tuple[Source, ...] = (*skypilot.SOURCES, *gpuhunt.SOURCES, runpod.SOURCE, vast.SOURCE, azure.SOURCE)
"""All sources, each of another provider."""

__all__ = ["SOURCES", "Fetched", "Get", "Source"]

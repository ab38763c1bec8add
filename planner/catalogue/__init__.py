"""Catalogues of models and GPUs: data files with a source per row, read through typed loaders."""

from planner.catalogue.gpus import Gpu, GpuMatch, find_gpu, list_gpus
from planner.catalogue.models import Model, find_model, search_models
from planner.catalogue.own_gpu import own_gpu, read_gpu_file

__all__ = [
    "Gpu",
    "GpuMatch",
    "Model",
    "find_gpu",
    "find_model",
    "list_gpus",
    "own_gpu",
    "read_gpu_file",
    "search_models",
]

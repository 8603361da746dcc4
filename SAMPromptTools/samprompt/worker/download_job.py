"""The job "download": fetch the weights of a model, or find them here."""

from __future__ import annotations

from samprompt.contract.places import catalogue, weights_path
from samprompt.contract.wire import to_data
from samprompt.contract.worker import DownloadJob, DownloadValue, Result
from samprompt.models.checkpoint import check_sums
from samprompt.models.registry import ensure_weights
from samprompt.worker.cache import Kept
from samprompt.worker.context import Context


def download(job: DownloadJob, context: Context, kept: Kept) -> Result:
    """Do the job; what an interrupted download left is continued, checksums are compared.

    Raises:
        ParameterError: no model of that name.
        WeightsMissingError, WeightsError, OutputError, Cancelled: as ``models.download``.
    """
    entry = catalogue().find(job.model)
    path = weights_path(entry)
    if path.is_file():
        check_sums(path, entry, context.progress)
    else:
        path = ensure_weights(entry, context.progress)
    return Result(context.id, value=to_data(DownloadValue(str(path))))

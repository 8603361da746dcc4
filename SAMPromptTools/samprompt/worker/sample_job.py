"""The job "sample-patient": the demo patient as arrays. numpy and scipy are enough for it."""

from __future__ import annotations

import hashlib

import numpy as np

from samprompt.contract.wire import to_data
from samprompt.contract.worker import (
    GridMessage,
    Result,
    SamplePatientJob,
    SamplePatientValue,
    StructureMessage,
    VisitMessage,
    VolumeMessage,
)
from samprompt.space.visit import Visit
from samprompt.synthesis.patient import demo_visits
from samprompt.worker.arrays_out import ResultFolder, write_mask
from samprompt.worker.context import Context


def sample_patient(job: SamplePatientJob, context: Context, kept: object) -> Result:
    """Do the job; the same seed gives the same patient as ``samprompt demo``.

    Raises:
        MissingFileError, OutputError: there is no folder, or it cannot be written.
        Cancelled: through the context.
    """
    folder = ResultFolder(job.folder)
    context.close_in_the_end(folder)
    visits = []
    count = job.followups + 1
    for n, visit in enumerate(demo_visits(job.seed, job.followups)):
        context.progress.step("making the sample patient", n, count)
        visits.append(_written(visit, folder))
    context.progress.step("making the sample patient", count, count)
    result = Result(context.id, value=to_data(SamplePatientValue(visits[0], tuple(visits[1:]))))
    folder.hand_over(lambda: None)
    return result


def _written(visit: Visit, folder: ResultFolder) -> VisitMessage:
    """One visit as files; Hounsfield units are whole numbers, as a scanner gives them."""
    array = np.rint(visit.volume.array).astype(np.int16)
    grid = visit.volume.grid
    volume = VolumeMessage(
        visit.name,
        folder.write(array),
        GridMessage(grid.shape, tuple(float(x) for x in grid.ijk_to_ras.ravel())),
        hashlib.sha256(array.tobytes()).hexdigest(),
        visit.volume.modality,
    )
    structures = tuple(
        write_mask(folder, s.mask, StructureMessage(s.name, s.name, s.color, "", terminology=s.terminology))
        for s in visit.structures
    )
    return VisitMessage(volume, structures)

"""The errors a user can meet: one class per cause, each with what was wrong and what to do.

The command line prints ``message`` and ``hint`` on one line each and ends with ``exit_code``; the worker sends
``code``, ``message`` and ``hint`` to the panel.
"""

from __future__ import annotations


class SamPromptError(Exception):
    """Base of every error that is reported to a user without a traceback.

    ``message`` says what was wrong with which input, ``hint`` says what to do about it.
    """

    exit_code = 1
    code = "error"

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


# --- exit code 2: the input -------------------------------------------------------------------------------------------
class InputError(SamPromptError):
    """Something the user gave cannot be used."""

    exit_code = 2
    code = "input"


class MissingFileError(InputError):
    """A named file or folder does not exist."""

    code = "missing-file"


class UnreadableFileError(InputError):
    """A file exists but cannot be read: truncated, corrupt, no permission, unknown format."""

    code = "unreadable-file"


class NotAnImageError(InputError):
    """A file was read but holds no single-channel 3D image (RGB, 4D, 2D, no voxels)."""

    code = "not-an-image"


class GridError(InputError):
    """A grid cannot be used, or two grids do not fit: sheared, singular, no overlap."""

    code = "grid"


class DicomSeriesError(InputError):
    """A DICOM series is incomplete, mixed, tilted or duplicated."""

    code = "dicom-series"


class StructureError(InputError):
    """A structure is absent, empty or too small to be carried."""

    code = "structure"


class IntensityError(InputError):
    """Voxel values cannot be used: NaN everywhere, constant, not HU where HU is said."""

    code = "intensity"


class ParameterError(InputError):
    """A parameter or option has a value that makes no sense."""

    code = "parameter"


class OutputError(InputError):
    """A result cannot be written: no permission, disk full, something in the way."""

    code = "output"


class TrainingError(InputError):
    """A training cannot go on: the loss is no number, the data ends, the task and its weights do not fit."""

    code = "training"


# --- exit code 3: environment or weights ------------------------------------------------------------------------------
class EnvironmentProblem(SamPromptError):
    """A package or a device that is needed is missing or broken."""

    exit_code = 3
    code = "environment"


class WeightsError(EnvironmentProblem):
    """A checkpoint is wrong, truncated, unsafe or of another architecture."""

    code = "weights"


class WeightsMissingError(WeightsError):
    """A checkpoint is not on this machine and could not be fetched."""

    code = "weights-missing"


# --- exit code 4: cancelled; exit code 5: memory ----------------------------------------------------------------------
class Cancelled(SamPromptError):
    """The user asked to stop."""

    exit_code = 4
    code = "cancelled"


class OutOfMemory(SamPromptError):
    """Memory ran out on the CPU, or on the device with no fall-back left."""

    exit_code = 5
    code = "memory"

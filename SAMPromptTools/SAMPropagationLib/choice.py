"""What a run was started with, taken out of the parameter node at that moment: changes meanwhile do not matter."""

from dataclasses import asdict, dataclass

from samprompt.contract.propagation import PropagationParameters

from SAMPropagationLib.parameters import chosenSegments, followUps, propagationParameters, references


@dataclass(frozen=True)
class Choice:
    """IDs of nodes and segments (with names, for messages about removed ones), and all settings of a run."""

    baselineVolume: str
    baselineSegmentation: str
    segments: tuple[str, ...]
    followUps: tuple[str, ...]
    references: tuple[tuple[str, str], ...]
    names: dict
    model: str
    device: str
    threads: int
    preset: str
    settings: PropagationParameters

    def record(self) -> dict:
        """JSON-ready: everything that reproduces the run apart from voxels, contours and weights."""
        return {
            "baselineVolume": self.names.get(self.baselineVolume, ""),
            "baselineSegmentation": self.names.get(self.baselineSegmentation, ""),
            "segments": list(self.segments),
            "followUps": [self.names.get(each, "") for each in self.followUps],
            "references": [self.names.get(segmentation, "") for _volume, segmentation in self.references],
            "model": self.model,
            "device": self.device,
            "threads": self.threads,
            "preset": self.preset,
            "parameters": asdict(self.settings),
        }


def segmentsToCarry(parameters) -> tuple[str, ...]:
    """IDs of the baseline's segments that a run would carry, in their order; chosen ones that are gone are left out."""
    node = parameters.baselineSegmentation
    present = tuple(node.GetSegmentation().GetSegmentIDs()) if node is not None else ()
    chosen = chosenSegments(parameters)
    return present if chosen is None else tuple(each for each in present if each in chosen)


def visitsToCompute(parameters) -> list:
    """The follow-ups without the visits that are further references: a person has contoured those."""
    contoured = [volume for volume, _segmentation in references(parameters)]
    return [node for node in followUps(parameters) if all(node is not each for each in contoured)]


def choose(parameters, volumes=None) -> Choice:
    """What a run with these parameters uses; ``volumes`` instead of the follow-ups, where given.

    Raises:
        ParameterError: preset or method do not exist.
    """
    volume, segmentation = parameters.baselineVolume, parameters.baselineSegmentation
    targets = visitsToCompute(parameters) if volumes is None else list(volumes)
    pairs = references(parameters)
    nodes = [volume, segmentation, *targets, *(node for pair in pairs for node in pair)]
    return Choice(
        volume.GetID(),
        segmentation.GetID(),
        segmentsToCarry(parameters),
        tuple(node.GetID() for node in targets),
        tuple((image.GetID(), contours.GetID()) for image, contours in pairs),
        {node.GetID(): node.GetName() or "" for node in nodes},
        parameters.weightsPath.strip() or parameters.model,
        parameters.device,
        int(parameters.threads),
        parameters.preset,
        propagationParameters(parameters),
    )

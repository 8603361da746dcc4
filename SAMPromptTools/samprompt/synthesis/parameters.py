"""What a simulated later visit may differ in: kinds of change and their frozen constants."""

from __future__ import annotations

from dataclasses import dataclass

TUMOUR_KINDS: tuple[str, ...] = (
    "concentric",
    "eccentric",
    "elastic",
    "regressive",
    "splitting",
    "disappearance",
    "density",
    "growth",
)
ORGAN_KINDS: tuple[str, ...] = ("sliding", "filling", "breathing", "gas")
KINDS: tuple[str, ...] = TUMOUR_KINDS + ORGAN_KINDS


@dataclass(frozen=True)
class VisitChange:
    """Constants of the simulator (methods page, section 7). Pairs are the ends of a uniform distribution.

    They were set on the synthetic patients of ``synthesis.patient`` and are frozen: no result on a real image was used
    to choose one. The training generator uses other families and other constants.

    Tumours: ``shrink_scale`` (length ratio) for concentric, eccentric and elastic change; half of the first two is
    taken by tissue that follows, half by tissue that replaces tumour. ``remaining_fraction`` (volume ratio) and
    ``rim_roughness`` (SD of the new rim in units of the tumour's radius) for regressive change. ``growth_scale``
    (length ratio). ``split_gap_mm``: width of the tissue between the two parts. ``density_factor``: of the tumour's
    excess over the tissue that would be there without it; ``density_ceiling`` (HU) stops a lung tumour from turning
    into bone. ``rim_mm``: how far beyond the contour the replaced tissue reaches, since a tumour's partial volume does.
    ``reach``: the distance over which tissue follows, in units of the tumour's mean diameter, at least ``reach_mm``.

    Organs: ``breathing_mm`` and ``sliding_mm`` (cranio-caudal shift of the interior; in "sliding" the wall stays, with
    a transition of ``sliding_width_mm``, ``wall_mm`` under the skin); ``filling_scale`` (length ratio of hollow organs,
    either way); ``gas_fraction`` (of the lumen), ``gas_wall_mm``.

    Always: ``tissue_rms_mm`` and ``tissue_correlation_mm`` (smooth deformation of everything); ``quiet_breathing_mm``
    (breathing where it is not the kind); ``setup_shift_mm`` (length of the shift), ``setup_rotation_degrees`` (largest
    angle about a random axis); ``pixel_factor`` and ``thickness_factor`` (of the voxel); ``trim_mm`` (cut from each
    side beyond what leaves the scan, which makes the place in the crop random) and ``keep_mm`` (what stays round the
    target); ``noise_factor`` (SD of the new noise against the old); ``table_gap_mm`` under the skin.

    ``observer_sd_mm`` and ``observer_correlation_mm``: the second observer, on the follow-up's contours only.
    """

    shrink_scale: tuple[float, float] = (0.65, 0.92)
    growth_scale: tuple[float, float] = (1.06, 1.25)
    remaining_fraction: tuple[float, float] = (0.35, 0.8)
    rim_roughness: float = 0.25
    split_gap_mm: tuple[float, float] = (6.0, 12.0)
    density_factor: tuple[float, float] = (0.7, 1.3)
    density_ceiling: float = 120.0
    rim_mm: float = 2.5
    reach: float = 1.0
    reach_mm: float = 15.0

    breathing_mm: tuple[float, float] = (5.0, 14.0)
    quiet_breathing_mm: tuple[float, float] = (0.0, 4.0)
    sliding_mm: tuple[float, float] = (5.0, 12.0)
    sliding_width_mm: float = 4.0
    wall_mm: float = 22.0
    filling_scale: tuple[float, float] = (1.1, 1.3)
    gas_fraction: tuple[float, float] = (0.15, 0.4)
    gas_wall_mm: float = 4.0

    tissue_rms_mm: float = 1.5
    tissue_correlation_mm: float = 30.0
    setup_shift_mm: tuple[float, float] = (5.0, 15.0)
    setup_rotation_degrees: float = 3.0
    pixel_factor: tuple[float, float] = (0.9, 1.15)
    thickness_factor: tuple[float, float] = (0.85, 1.3)
    trim_mm: tuple[float, float] = (0.0, 20.0)
    keep_mm: float = 12.0
    noise_factor: tuple[float, float] = (0.8, 1.25)
    table_gap_mm: tuple[float, float] = (0.0, 12.0)

    observer_sd_mm: float = 1.0
    observer_correlation_mm: float = 8.0


FROZEN = VisitChange()

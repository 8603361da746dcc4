"""The ctk and qMRML widgets that panels use, written on the mannered Qt and the real MRML.

``build(qt)`` answers with the module ``ctk`` and the qMRML classes by name; ``qt.QUiLoader`` then knows them. Each
class answers to exactly what slicer_api.json lists for it. What a real widget does and these do not raises
NotImplementedError, never nothing.
"""

from __future__ import annotations

import importlib
import types

CTK = ("ctk_buttons", "ctk_collapsible", "ctk_combos", "ctk_numbers", "ctk_paths", "ctk_texts")
QMRML = (
    "qmrml_checkable_combo",
    "qmrml_node_combo",
    "qmrml_plot",
    "qmrml_segment_editor",
    "qmrml_segment_selector",
    "qmrml_segments_table",
    "qmrml_slice",
    "qmrml_tree",
    "qmrml_widget",
)


def build(qt: types.ModuleType) -> tuple[types.ModuleType, dict[str, type]]:
    """The module ``ctk`` and {name: qMRML class}. ``qt`` has to be importable as ``qt`` already."""
    ctkClasses = _classes(CTK, "ctk")
    qmrmlClasses = _classes(QMRML, "qMRML")
    ctk = types.ModuleType("ctk", "Stand-in for Slicer's ctk module.")
    ctk.__dict__.update(ctkClasses)
    importlib.import_module("standin.widgets.loader").install(ctkClasses | qmrmlClasses)
    return ctk, qmrmlClasses


def _classes(modules: tuple[str, ...], prefix: str) -> dict[str, type]:
    found = {}
    for name in modules:
        module = importlib.import_module(f"standin.widgets.{name}")
        for one in vars(module).values():
            if isinstance(one, type) and one.__name__.startswith(prefix) and vars(module).get(one.__name__) is one:
                found[one.__name__] = one
    return found

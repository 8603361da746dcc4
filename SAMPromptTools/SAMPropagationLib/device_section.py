"""Section 3, second half: where to compute, and the process that does."""

import os
import sys

from slicer.i18n import tr as _

from SAMPropagationLib.choice_widget import ChoiceBox
from SAMPropagationLib.panel_section import PanelSection


class DeviceSection(PanelSection):
    """The device, what the worker found on this computer, and the worker's own line under "Advanced"."""

    def __init__(self, panel) -> None:
        PanelSection.__init__(self, panel)
        devices = [(_("Automatic"), "auto"), (_("Processor (CPU)"), "cpu")]
        if sys.platform == "darwin":
            devices.append((_("Apple graphics (MPS)"), "mps"))
        else:
            devices.append((_("Graphics card (CUDA)"), "cuda"))
        self.device = ChoiceBox(self, self.ui.deviceComboBox, "device", devices)
        self.client = panel.client
        self._released = ""
        self._offered = False
        self.client.stateChanged.connect(self.onState)
        self.client.released.connect(self.onReleased)
        self.onClick(self.ui.releaseButton, self.client.release)
        self.onClick(self.ui.stopWorkerButton, self.client.stop)

    def startWhenUseful(self) -> None:
        """Start the worker once there is something to compute, so that it is warm and has told what it found."""
        if self._offered or self.parameters.baselineVolume is None:
            return
        self._offered = True  # once: the user may have stopped it, or it cannot be started
        if self.client.state == "stopped":
            self.client.start()

    def onState(self, _state) -> None:
        """The worker started, ended, became busy or ready."""
        self._released = ""
        self.panel.scheduleUpdate()

    def onReleased(self, released) -> None:
        """The memory of the graphics card was given back."""
        self._released = (
            _("{size} MiB of the graphics card were given back.").format(size=round(released.freed_mib))
            if released.freed_mib >= 1
            else _("The models were taken out of memory.")
        )
        self.update()

    def update(self) -> None:
        """Show device and state of the worker."""
        self.device.update()
        state, hello = self.client.state, self.client.hello
        self.ui.deviceLabel.text = self.found(state, hello)
        line = _("Computing process: {state}").format(state=stateTitles().get(state, state))
        if hello is not None and state in ("ready", "busy"):
            line += _(" (process {pid}, Python {python})").format(pid=hello.pid, python=hello.python)
        self.ui.workerLabel.text = f"{line}. {self._released}".strip() if self._released else line
        self.ui.releaseButton.enabled = state == "ready"
        self.ui.stopWorkerButton.enabled = state in ("starting", "ready", "busy")

    def found(self, state, hello) -> str:
        """What the worker found on this computer, in words."""
        if hello is None:
            if state == "starting":
                return _("Looking for what this computer has...")
            if self.client.lastFailure is not None:
                return _("The computing process could not be started: {reason}").format(
                    reason=self.client.lastFailure.message
                )
            return _("Found out when the computing process starts.")
        if hello.missing:
            return _("Python packages are missing ({names}): they are offered for installation on Apply.").format(
                names=", ".join(hello.missing)
            )
        if hello.device == "cpu":  # its own name ("x86_64") tells nobody how long it will take
            name = _("CPU, {count} cores").format(count=os.cpu_count() or 1)
        else:
            name = hello.device_name or hello.device
        return f"{name}. {hello.problem}" if hello.problem else name

    def cleanup(self) -> None:
        """No longer hear of the worker, which other panels may use."""
        self.client.stateChanged.disconnect(self.onState)
        self.client.released.disconnect(self.onReleased)


def stateTitles() -> dict:
    """What the states of the worker are called."""
    return {
        "stopped": _("not running"),
        "starting": _("starting..."),
        "ready": _("ready"),
        "busy": _("computing"),
        "stopping": _("ending..."),
    }

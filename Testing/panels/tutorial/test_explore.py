import sys, time
from pathlib import Path
sys.path.insert(0, "/work/main/Testing/panels/propagation_panel")
import slicer, pytest
from screens import PanelTest
def test_explore(host, monkeypatch, tmp_path):
    from SAMPromptCommonLib import folders
    from SAMPromptCommonLib.client import WorkerClient
    monkeypatch.setenv("SAMPROMPT_PYTHON", sys.executable)
    t=time.time()
    p=PanelTest(host, WorkerClient.shared())
    p.click("sampleDataButton"); print("sample", time.time()-t)
    for n in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"): print(n.GetName(), n.GetImageData().GetDimensions(), n.GetSpacing())
    print(p.texts("followUpsTable"))
    t=time.time()
    p.click("applyButton"); 
    p.until(lambda: not p.logic.isRunning, 400); p.settle(0.3)
    print("run", time.time()-t, p.logic.run.state, p.ui.reasonLabel.text)
    for r in p.panel.results.rows: print(r.visit, r.structure, round(r.volume_ml,1), r.change_percent, r.shift_mm, r.trust, r.level, r.flagged, r.reasons, len(r.checkSlices), r.notes)
    host.quit(); WorkerClient.shared().dispose(); host.process_events(0.1)

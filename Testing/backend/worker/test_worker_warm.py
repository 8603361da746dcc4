"""What a warm worker keeps, for how many bytes, and that it never keeps a wrong thing."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from samprompt.contract.errors import OutOfMemory
from samprompt.contract.worker import ProgressMessage, Released, ReleaseRequest, VisitMessage
from samprompt.models.backbone import Embedding
from samprompt.models.device import free_memory
from samprompt.worker.cache import Kept, Warm, default_limit, size_of, sizes_of
from samprompt.worker.failures import failure_of, in_a_panel

MIB = 1 << 20


def block(mib: int) -> np.ndarray:
    return np.zeros(mib * MIB, np.uint8)


def test_what_was_used_longest_ago_makes_room():
    warm = Warm(10 * MIB)
    for name in "abc":
        warm[name] = block(3)
    assert warm["a"] is not None  # used: now b is the oldest
    warm["d"] = block(3)
    assert set(warm) == {"a", "c", "d"}
    assert warm.bytes == 9 * MIB
    warm["a"] = block(1)
    assert warm.bytes == 7 * MIB
    del warm["c"]
    assert warm.bytes == 4 * MIB
    warm.clear()
    assert (warm.bytes, len(warm)) == (0, 0)
    with pytest.raises(KeyError):
        del warm["c"]


def test_what_is_larger_than_the_limit_is_not_kept_and_drives_nothing_out():
    warm = Warm(10 * MIB)
    warm["small"] = block(1)
    warm["large"] = block(11)
    assert set(warm) == {"small"}
    warm["small"] = block(11)
    assert len(warm) == 0
    assert warm.bytes == 0


def test_bytes_are_those_of_arrays_and_tensors_each_counted_once():
    array, tensor = block(2), torch.zeros(MIB)  # 4 MiB
    batch = Embedding(torch.zeros(8, MIB // 32), torch.zeros(8, 4), (), (1, 1), (1.0, 1.0))
    assert size_of([array, {"x": array[10:]}, (array,)]) == 2 * MIB
    assert size_of((tensor, tensor[5:], tensor.view(2, -1))) == 4 * MIB
    assert size_of([batch[n] for n in range(8)]) == size_of(batch) == MIB + 8 * 4 * 4
    assert size_of(batch[0]) == size_of(batch)  # a slice keeps the whole batch alive
    assert size_of(("text", 3, None, object())) == 0


def test_several_threads_may_use_it_at_once():
    warm, faults = Warm(5 * MIB), []

    def use(seed: int) -> None:
        random = np.random.default_rng(seed)
        try:
            for _ in range(300):
                warm[int(random.integers(10))] = block(1)
                warm.get(int(random.integers(10)))
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=use, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert warm.bytes == len(warm) * MIB <= 5 * MIB


def test_the_limit_is_a_share_of_what_is_free():
    assert 0 < default_limit() <= 2 << 30


def elsewhere(mib: int) -> torch.Tensor:
    """A tensor that is not the CPU's; torch's "meta" device has no numbers, but says how many bytes they would be."""
    return torch.zeros(mib * MIB, dtype=torch.uint8, device="meta")


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Free MiB by kind of device, to be changed."""
    free = {"cpu": 400, "meta": 40}
    monkeypatch.setattr("samprompt.worker.cache.free_memory", lambda device: free[device.type] * MIB)
    return free


def test_what_is_kept_on_a_gpu_is_measured_by_the_memory_of_the_gpu(memory: dict[str, int]) -> None:
    warm = Warm()
    warm["large"] = elsewhere(11)  # more than a quarter of the GPU's memory, less than one of the CPU's
    assert "large" not in warm
    for name in "abc":
        warm[name] = elsewhere(4)
    assert set(warm) == {"b", "c"}
    memory["cpu"] = memory["meta"] = 4  # what was found once holds: it is free memory less what is kept
    warm["d"] = elsewhere(2)
    assert set(warm) == {"b", "c", "d"}


def test_images_of_the_cpu_and_embeddings_of_a_gpu_do_not_drive_each_other_out(memory: dict[str, int]) -> None:
    warm = Warm()
    warm["image"] = block(90)
    warm["first"], warm["second"] = elsewhere(5), (elsewhere(4), block(3))
    assert set(warm) == {"image", "first", "second"}
    assert warm.bytes == 102 * MIB
    warm["third"] = elsewhere(5)  # the first of the GPU's goes, and not the image, which is older
    assert set(warm) == {"image", "second", "third"}
    warm["another image"] = block(10)
    assert set(warm) == {"second", "third", "another image"}
    assert sizes_of(warm["second"]) == {torch.device("cpu"): 3 * MIB, torch.device("meta"): 4 * MIB}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_what_torch_holds_for_later_is_free_memory() -> None:
    device = torch.device("cuda", 0)
    before = free_memory(device)
    block_of_gpu = torch.zeros(512 * MIB, dtype=torch.uint8, device=device)
    taken = free_memory(device)
    del block_of_gpu  # torch holds it
    after = free_memory(device)
    assert before is not None
    assert taken is not None
    assert after is not None
    assert taken <= before - 500 * MIB
    assert after >= before - 64 * MIB


def stages(messages: list[object]) -> list[str]:
    return [m.stage.split()[0] for m in messages if isinstance(m, ProgressMessage)]


@pytest.fixture
def patient(phantom):
    return phantom.draw(name="first"), phantom.draw(lesion=14.0, seed=2, name="later")


def masks(fresh_handover, messages, visits_of) -> list[np.ndarray]:
    shape = (16, 62, 72)
    return [fresh_handover.mask(o.structure, shape) for visit in visits_of(messages) for o in visit.outcomes]


def test_the_second_time_starts_at_once_skips_what_is_known_and_gives_the_same(
    worker, fresh_handover, patient, visits_of, a_second
):
    job = fresh_handover.job(*patient, method="p2sam3d")
    cold = worker.do("propagate", job)
    name = worker.start("propagate", job)
    began = time.monotonic()
    begun = worker.wait_for_stage("prompting")
    seconds = time.monotonic() - began
    warm = [*begun, *worker.finish(name)]
    assert {"rigid", "deformable", "encoding", "learning"} <= set(stages(cold))
    assert not {"rigid", "deformable", "encoding", "learning"} & set(stages(warm))
    first, second = masks(fresh_handover, cold, visits_of), masks(fresh_handover, warm, visits_of)
    assert np.array_equal(first[0], second[0])
    assert visits_of(cold)[0].outcomes[0].trust == visits_of(warm)[0].outcomes[0].trust
    assert seconds < 0.5 * a_second()
    worker.send(ReleaseRequest())
    assert isinstance(worker.next(), Released)
    again = worker.do("propagate", job)
    assert {"rigid", "encoding", "learning"} <= set(stages(again))
    assert np.array_equal(masks(fresh_handover, again, visits_of)[0], first[0])


def test_a_changed_contour_volume_place_or_parameter_is_never_taken_for_the_known_one(
    worker, fresh_handover, patient, phantom, visits_of
):
    first, later = patient
    job = fresh_handover.job(first, later, method="deformable")

    def aligned(changed) -> bool:
        return "rigid" in stages(worker.do("propagate", changed))

    assert aligned(job)
    assert not aligned(job)
    smaller = fresh_handover.structure(phantom.draw(lesion=12.0).structures[0])
    assert aligned(replace(job, baseline=VisitMessage(job.baseline.volume, (smaller,))))
    assert aligned(replace(job, followups=(replace(job.followups[0], key="another"),)))
    assert aligned(replace(job, followups=(replace(job.followups[0], key=""),)))
    matrix = list(job.followups[0].grid.ijk_to_ras)
    matrix[3] += 5.0
    moved = replace(job.followups[0], grid=replace(job.followups[0].grid, ijk_to_ras=tuple(matrix)))
    assert aligned(replace(job, followups=(moved,)))
    align = replace(job.parameters.align, smoothness=0.06)
    assert aligned(replace(job, parameters=replace(job.parameters, align=align)))
    assert not aligned(replace(job, parameters=replace(job.parameters, encode_batch=3)))
    assert not aligned(job)


def test_another_window_is_encoded_anew_but_not_aligned_again(worker, fresh_handover, patient, visits_of):
    job = fresh_handover.job(*patient, method="p2sam3d")
    worker.do("propagate", job)
    messages = worker.do("propagate", replace(job, parameters=replace(job.parameters, window="bone")))
    assert {"encoding", "learning"} <= set(stages(messages))
    assert "rigid" not in stages(messages)


def test_a_change_of_the_file_behind_a_key_is_the_panels_own_fault_and_does_not_crash(worker, fresh_handover, patient):
    job = fresh_handover.job(*patient)
    assert worker.answer("propagate", job).type == "result"
    np.save(job.followups[0].array, np.zeros((2, 2, 2)))
    assert worker.answer("propagate", job).type == "result"


def test_forgetting_lets_the_memory_go():
    import gc
    import weakref

    kept = Kept()
    array = block(1)
    gone = weakref.ref(array)
    kept.cache["x"] = array
    del array
    assert gone() is not None
    kept.release()
    gc.collect()
    assert gone() is None


def test_hints_for_the_command_line_become_hints_for_a_panel():
    assert in_a_panel("Use --device cpu, or see: samprompt doctor.") == "Use the device cpu."
    assert in_a_panel("Close other programs, use a smaller model (--model tiny), or --device cpu.") == (
        "Close other programs, use a smaller model (the built-in model), or the device cpu."
    )
    assert in_a_panel("Name one with --model.") == "Name one as the model."
    pip = "Install it: SAM2_BUILD_CUDA=0 pip install --no-build-isolation sam2."
    assert in_a_panel(pip) == pip
    answer = failure_of("a", OutOfMemory("Even a batch of one.", "Use --device cpu."))
    assert (answer.code, answer.hint) == ("memory", "Use the device cpu.")

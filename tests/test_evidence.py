"""What `autotl inspect` shows of the measurements, on one screen."""

from __future__ import annotations

from dataclasses import replace

import pytest

from autotl.decide import decide
from autotl.records import Budget, CurvePoint, Measurements, Probe, Similarity, Size, Speed
from autotl.report.terminal import evidence
from autotl.search import learning_rate
from tests.test_report import shown

STAGES = (
    "expanded_conv_project_BN",
    *(f"block_{number}_project_BN" for number in range(1, 17)),
    "out_relu",
)
EPOCHS = {"feature-extraction": 1, "partial-freeze": 5, "full-fine-tune": 5, "scratch": 15}


@pytest.fixture
def measured() -> Measurements:
    probes = [
        Probe(
            stage=stage,
            pretrained=pretrained,
            linear=0.75 if pretrained else 0.25,
            knn=0.625 if pretrained else 0.125,
            examples=1000,
        )
        for pretrained in (True, False)
        for stage in STAGES
    ]
    return Measurements(
        backbone="MobileNetV2",
        input_size=96,
        stages=STAGES,
        pretrained=True,
        size=Size(
            examples=1500,
            train=1200,
            classes=10,
            per_class_least=17,
            per_class_median=123.0,
            imbalance=1.5,
            duplicates=0,
            median_side=300,
            validation=299,
            copies=0,
            examined=1200,
            near_copies=0,
            near_leaks=None,
            doubts=4,
            doubtful=("a.jpg", "b.jpg", "c.jpg"),
            effective=1111.0,
        ),
        similarity=Similarity(
            value=0.43, low=0.41, high=0.46, stages=(0.5,) * len(STAGES), frechet=0.37
        ),
        probes=tuple(probes),
        curve=tuple(
            CurvePoint(examples=count, accuracy=value)
            for count, value in ((240, 0.515), (480, 0.656), (960, 0.75))
        ),
        tap=14,
        boundary=8,
        parameters_above=tuple(range(100, 81, -1)),
        orientation_matters=True,
        speed=Speed(
            forward=0.00234,
            train=0.0067,
            share_above=tuple(1 - k / 18 for k in range(19)),
            fixed=4.1,
        ),
        seconds=9.0,
        together=0.811,
        reads=tuple(range(1, 19)),
    )


def printed(measured: Measurements, width: int = 100) -> list[str]:
    decision = decide(measured, Budget(seconds=600.0, trials=None), epochs=EPOCHS)
    return shown(evidence(measured, decision, learning_rate(decision, measured)), width)


def test_all_that_was_measured_is_on_one_screen(measured: Measurements) -> None:
    lines = printed(measured)
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 100
    text = " ".join(" ".join(lines).split())
    for figure in (
        "10 classes, the smallest of 17, the median of 123",
        "effective size 1,111",
        "exact copies none in training, none dropped across given splits",
        "near-copies none in training, in validation not measured",
        "doubtful labels 4",
        "0.43 (0.41 to 0.46), by Frechet distance 0.37",
        "shorter side 300 pixels in the median, input 96; largest class 1.5 times the smallest",
        f"would keep 8 of 18 stages, up to {STAGES[7]}",
        "The four strategies, predicted; margin +1.7 points, no race",
        "51.5 % with 240 examples, 65.6 % with 480, 75.0 % with 960",
        "orientation matters",
        "2.3 ms an image",
        "2.8 s",
        "75.0/25.0 62.5/12.5 0.50",
        "all together (head) 81.1",
        "block_13_project_BN*",
        "full-fine-tune starts with a learning rate of 0.0003.",
    ):
        assert figure in text, figure
    assert sum(line.count("75.0/25.0") for line in lines) == 18
    assert all(any(stage in line for line in lines) for stage in STAGES)


def test_none_is_not_what_was_not_measured(measured: Measurements) -> None:
    unknown = {"near_copies": None, "near_leaks": None, "doubts": None, "effective": None}
    size = replace(measured.size, **unknown, doubtful=(), examined=0)  # type: ignore[arg-type]
    bare = replace(
        measured,
        size=size,
        similarity=Similarity(value=None, low=None, high=None, reason="no batch norm"),
        curve=(),
        probes=measured.probes[:18],
        orientation_matters=False,
        notes=("3 classes have one example among those probed.",),
    )
    text = " ".join(" ".join(printed(bare)).split())
    assert "effective size not measured; doubtful labels not measured" in text
    assert "near-copies in training not measured, in validation not measured" in text
    assert "similarity not measured, by Frechet distance not measured" in text
    assert "learning curve not measured" in text
    assert "random ones not measured" in text
    assert "orientation does not matter" in text
    assert "note 3 classes have one example among those probed." in text
    seen = replace(measured, size=replace(measured.size, near_leaks=3, near_copies=0, doubts=0))
    text = " ".join(" ".join(printed(seen)).split())
    assert "near-copies none in training, 3 in validation" in text
    assert "doubtful labels none" in text


def test_few_stages_are_one_table_and_a_narrow_screen_stacks_them(measured: Measurements) -> None:
    few = replace(
        measured,
        stages=STAGES[:5],
        probes=(*measured.probes[:5], *measured.probes[18:23]),
        tap=5,
        boundary=2,
        reads=(5,),
        speed=replace(measured.speed, share_above=(1.0, 0.8, 0.6, 0.4, 0.2, 0.0)),
    )
    assert sum("k-NN" in line for line in printed(few)) == 1
    narrow = printed(measured, 60)
    assert max(map(len, narrow)) <= 60
    assert sum("75.0/25.0" in line for line in narrow) == 18


def test_the_learning_rate_is_that_of_the_first_training(measured: Measurements) -> None:
    decision = decide(measured, Budget(seconds=600.0, trials=None), epochs=EPOCHS)
    plain = replace(decision, strategy="full-fine-tune", rates={}, learning_rate=0.0, taps=(18,))
    own = learning_rate(plain, measured)
    assert own == 3e-4
    twice = replace(plain, rates={"full-fine-tune": 2.0, "scratch": 3.0})
    assert learning_rate(twice, measured) == 6e-4
    assert learning_rate(replace(twice, learning_rate=0.125), measured) == 0.125
    head = replace(twice, strategy="feature-extraction", taps=(14,))
    assert learning_rate(head, measured) is None
    lines = shown(evidence(measured, head, None))
    assert "feature-extraction has no learning rate: its head is fitted, not stepped." in lines


def test_a_race_and_its_share_are_said(measured: Measurements) -> None:
    decision = decide(measured, Budget(seconds=600.0, trials=None), epochs=EPOCHS)
    raced = " ".join(shown(evidence(measured, replace(decision, race=0.2), None)))
    assert "20.0 % of the time for the runner-up" in raced
    alone = " ".join(shown(evidence(measured, replace(decision, runner_up=None), None)))
    assert "no runner-up" in alone
    whole = replace(measured, boundary=0)
    assert "partial freeze no cut is proposed" in " ".join(" ".join(printed(whole)).split())

"""Do paths lead where the service's property references and JSON paths lead?"""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.definition import paths

# The first draw of a text builds Unicode tables, and a shared machine is slow at times: neither is a finding.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
DESCRIBED = {
    "ProcessingJobName": "prep-1",
    "ProcessingInputs": [{"InputName": "x", "S3Input": {"S3Uri": "s3://b/x"}}],
    "ProcessingOutputConfig": {
        "Outputs": [
            {"OutputName": "train", "S3Output": {"S3Uri": "s3://b/train"}},
            {"OutputName": "a.b", "S3Output": {"S3Uri": "s3://b/ab"}},
        ]
    },
    "FinalMetricDataList": [{"MetricName": "val:acc", "Value": 0.9}],
    "InputDataConfig": [{"ChannelName": "train"}],
    "HyperParameters": {"odd key": "1", "dotted.key": "2", "it's": "3"},
    "Tags": [{"Name": "tag"}],
    "Empty": [],
    "Plain": [1, 2],
}


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("A", ("A",)),
        ("A.B.C", ("A", "B", "C")),
        ("A[0]", ("A", 0)),
        ("A[12].B", ("A", 12, "B")),
        ("A['k'].C", ("A", "k", "C")),
        ('A["k"]', ("A", "k")),
        ("A['k.with.dots'].C", ("A", "k.with.dots", "C")),
        ("A['it\\'s']", ("A", "it's")),
        ('A["it\'s"]', ("A", "it's")),
        ("A['back\\\\slash']", ("A", "back\\slash")),
        ("A['']", ("A", "")),
        ("A['[0]']", ("A", "[0]")),
        ("A[ 'k' ][ 0 ]", ("A", "k", 0)),
        ("[0][1]", (0, 1)),
        ("['k'].x", ("k", "x")),
        ("$", ()),
        ("$.a.b", ("a", "b")),
        ("$['a'][0]", ("a", 0)),
        ("val:acc", ("val:acc",)),
        ("a-b_c", ("a-b_c",)),
        ("ümlaut", ("ümlaut",)),
        ("0", ("0",)),
        ("$a", ("$a",)),
    ],
)
def test_a_path_is_split_into_names_and_positions(text: str, parts: tuple[str | int, ...]) -> None:
    assert paths.parse(text) == parts


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("", 1),
        (".a", 1),
        ("a.", 3),
        ("a..b", 3),
        ("a b", 2),
        ("a[", 2),
        ("a[]", 2),
        ("a[-1]", 2),
        ("a[*]", 2),
        ("a[1:2]", 2),
        ("a[01]", 2),
        ("a['k", 2),
        ("a[k]", 2),
        ("a]", 2),
        ("a.*", 3),
        ("a[0]b", 5),
        ("$.", 3),
        ("a[99999999999]", 2),
    ],
)
def test_a_broken_path_is_refused_at_its_position(text: str, position: int) -> None:
    with pytest.raises(ValueError, match=rf"^position {position}:"):
        paths.parse(text)


@PATIENT
@given(st.lists(st.one_of(st.text(), st.integers(min_value=0, max_value=10**8)), min_size=1))
def test_what_is_written_is_read_back(parts: list[str | int]) -> None:
    assert paths.parse(paths.render(parts)) == tuple(parts)


@PATIENT
@given(st.text(alphabet="ab.[]'\"\\$0 "))
def test_a_text_is_read_or_refused_and_what_is_read_can_be_written(text: str) -> None:
    try:
        parts = paths.parse(text)
    except ValueError:
        return
    assert paths.parse(paths.render(parts)) == parts


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ProcessingJobName", "prep-1"),
        ("ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri", "s3://b/train"),
        ("ProcessingOutputConfig.Outputs['a.b'].S3Output.S3Uri", "s3://b/ab"),
        ("ProcessingOutputConfig.Outputs[0].OutputName", "train"),
        ('ProcessingInputs["x"].S3Input.S3Uri', "s3://b/x"),
        ("FinalMetricDataList['val:acc'].Value", 0.9),
        ("InputDataConfig['train'].ChannelName", "train"),
        ("Tags.tag.Name", "tag"),
        ("HyperParameters['odd key']", "1"),
        ("HyperParameters['dotted.key']", "2"),
        ("Plain[1]", 2),
    ],
)
def test_a_property_is_found(path: str, value: object) -> None:
    assert paths.lookup(DESCRIBED, path, by_name=True) == value


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("Nowhere", "the top level has no member 'Nowhere'; it has ProcessingJobName"),
        ("HyperParameters.lr", "'HyperParameters' has no member 'lr'; it has odd key, dotted.key, it's"),
        ("ProcessingJobName.x", "'ProcessingJobName' is a string and has no member 'x'"),
        ("ProcessingJobName[0]", "'ProcessingJobName' is a string and has no element [0]"),
        ("Plain[2]", "'Plain' has no element [2]; its length is 2"),
        ("FinalMetricDataList['loss']", "'FinalMetricDataList' has no element named 'loss'; it has val:acc"),
        ("Plain['x']", "'Plain' has no element named 'x'; its elements have no names"),
        ("Empty['x']", "'Empty' has no element named 'x'; it is empty"),
        ("ProcessingOutputConfig.Outputs['train'].Nope", "'ProcessingOutputConfig.Outputs.train' has no member 'Nope'"),
    ],
)
def test_what_is_missing_is_said_with_what_is_there(path: str, said: str) -> None:
    with pytest.raises(LookupError) as caught:
        paths.lookup(DESCRIBED, path, by_name=True)

    assert said in str(caught.value)


def test_lists_of_json_documents_have_no_names() -> None:
    document = {"outputs": [{"Name": "a"}]}

    with pytest.raises(LookupError, match="'outputs' is a list and has no member 'a'"):
        paths.lookup(document, "outputs['a']")


def test_the_whole_document_can_be_asked_for() -> None:
    assert paths.lookup([1], "$") == [1]


def test_a_path_of_ten_thousand_parts_is_followed() -> None:
    document: object = 1
    for _ in range(10_000):
        document = [document]

    assert paths.lookup(document, "[0]" * 10_000) == 1

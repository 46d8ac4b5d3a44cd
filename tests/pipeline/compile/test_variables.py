"""The variables of every task: known names, no secret in the YAML."""

import pytest

from pipeline.compile import variables

GOOD = {
    "BUCKET_DEADLINE": "300",
    "GOOGLE_CLOUD_PROJECT": "example-project",
    "HTTP_PROXY": "http://proxy.example:3128",
    "HTTPS_PROXY": "http://proxy.example:3128/",
    "MODEL_MIN_SERVING": "7",
    "NO_PROXY": "localhost,.svc,10.0.0.0/8",
    "STORAGE_EMULATOR_HOST": "http://storage.emulators:4443",
    "STORAGE_EMULATOR_ALLOW_REMOTE": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}


def test_each_known_name_takes_a_value_of_its_kind() -> None:
    assert variables.checked(GOOD) == GOOD
    assert set(GOOD) == variables.NAMES


def test_a_name_may_be_written_small_as_variables_that_set_environment_keys_are_read() -> None:
    assert variables.checked({"bucket_deadline": "300"}) == {"BUCKET_DEADLINE": "300"}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("BUCKET_DEADLINE", "0", "BUCKET_DEADLINE: must be whole seconds from 1 to 9999"),
        ("BUCKET_DEADLINE", "soon", "BUCKET_DEADLINE: must be whole seconds"),
        ("MODEL_MIN_SERVING", "0", "MODEL_MIN_SERVING: must be a whole number from 1"),
        ("HTTPS_PROXY", "proxy.example:3128", "HTTPS_PROXY: must be an http"),
        (
            "NOTIFY_WEBHOOK",
            "https://hooks.example/1",
            "NOTIFY_WEBHOOK: is none that may be set; known: BUCK",
        ),
        ("MODEL_SIGNING_KEY", "/key.pem", "MODEL_SIGNING_KEY: is none that may be set"),
        ("PATH", "/bin", "PATH: is none that may be set"),
    ],
)
def test_other_names_and_values_are_refused(name: str, value: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        variables.checked({name: value})


@pytest.mark.parametrize("name", ["HTTP_PROXY", "HTTPS_PROXY", "STORAGE_EMULATOR_HOST"])
def test_a_password_in_an_address_is_refused_and_not_repeated(name: str) -> None:
    with pytest.raises(ValueError, match="without user and password") as error:
        variables.checked({name: "http://user:canary@proxy.example:3128"})
    assert "canary" not in str(error.value)

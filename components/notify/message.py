"""How a run ended, in one line: what is known of it, above all the verdict."""

from components.registry import conclusions
from components.registry.conclusions import Conclusion

PIPELINE = "mnist-pipeline"
ENDED = "ENDED"
_FINAL = ("SUCCEEDED", "FAILED", "CANCELLED")
_SHORT = 12  # digits of a version that a person reads
_ERROR_LIMIT = 500


def known(state: str) -> str:
    """Returns the state if it says how the run ended, else ENDED.

    Kubeflow Pipelines hands on the last state that a launcher wrote: RUNNING for what succeeded or was
    canceled.
    """
    return state if state in _FINAL else ENDED


def one_line(
    *, state: str, run: str, error: str, conclusion: Conclusion | None, unknown: str, page: str
) -> str:
    """Returns the message.

    Args:
      state: the platform's.
      run: what the platform calls it.
      error: the platform's words about a failure.
      conclusion: what the run left; None for nothing.
      unknown: why there is none.
      page: where the platform shows the run; empty where that is not known.
    """
    ended, said = known(state), " ".join(error.split())[:_ERROR_LIMIT]
    went_wrong = ended not in ("SUCCEEDED", ENDED)
    if went_wrong and said:
        ended += f": {said}"
    if conclusion:
        found = [_verdict(conclusion), _figures(conclusion), conclusion.model_uri]
        parts = [ended, *found] if went_wrong else found
    else:
        parts = [ended, unknown]
    text = f"{PIPELINE} {run}: {'; '.join(part for part in (*parts, page) if part)}"
    return "".join(character if character.isprintable() else "?" for character in text)


def _verdict(conclusion: Conclusion) -> str:
    match conclusion.verdict:
        case conclusions.PUBLISHED:
            return f"published {conclusion.version[:_SHORT]}, {conclusion.reason}"
        case conclusions.BLESSED:
            return f"not published, although {conclusion.reason}"
        case conclusions.NOT_BLESSED:
            return f"not published, {conclusion.reason}"
    return conclusion.reason


def _figures(conclusion: Conclusion) -> str:
    if conclusion.accuracy is None:
        return ""
    own = f"accuracy {conclusion.accuracy:.4f}"
    if conclusion.champion_accuracy is None:
        return own
    return f"{own}, the champion's ({conclusion.champion[:_SHORT]}) {conclusion.champion_accuracy:.4f}"
